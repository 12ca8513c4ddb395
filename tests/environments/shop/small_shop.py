"""A catalogue of four products, made by hand, and a goal in it."""

from jaxcredit.environments import shop


def product(asin, name, **changes) -> shop.Product:
  fields = {
    'category': 'fashion',
    'query': "men's t-shirts",
    'product_category': 'Clothing › Men › Shirts › T-Shirts',
    'pricing': (19.99,),
    'small_description': ('Machine Washable',),
    'full_description': 'A good shirt.',
    'customization_options': (
      ('color', ('black', 'wine red')),
      ('size', ('small', 'x-small')),
    ),
    'average_rating': 4.5,
    'brand': 'Zanolet',
    'attributes': ('slim fit', 'long sleeve'),
  }
  return shop.Product(asin=asin, name=name, **{**fields, **changes})


SHIRT = product('B000000001', 'Zanolet Crewneck Shirt, Slim Fit, Long Sleeve')
DEAR = product(
  'B000000002',
  'Zanolet Henley Shirt, Slim Fit',
  pricing=(31.5, 45.0),
  attributes=('slim fit',),
  small_description=('Soft', 'Warm'),
)
LAMP = product(
  'B000000003',
  'Ulmogan Touch Table Lamp, Solid Wood',
  category='garden',
  query='table lamps',
  product_category='Home › Lighting › Lamps',
  pricing=(12.0,),
  small_description=('Bright',),
  full_description='A lamp.',
  customization_options=(),
  attributes=('solid wood',),
)
PANTS = product(
  'B000000004',
  'Zanolet Cargo Pants, Slim Fit',
  query="men's pants",
  product_category='Clothing › Men › Pants',
  attributes=('slim fit',),
)
CATALOGUE = shop.Catalogue((SHIRT, DEAR, LAMP, PANTS))


def goal(**changes) -> shop.Goal:
  fields = {
    'name': SHIRT.name,
    'asin': SHIRT.asin,
    'category': SHIRT.category,
    'query': SHIRT.query,
    'product_category': SHIRT.product_category,
    'product_attributes': SHIRT.attributes,
    'attributes': ('slim fit', 'long sleeve'),
    'options': (('color', 'wine red'), ('size', 'small')),
    'price_upper': 30.0,
    'instruction': 'i want a slim fit shirt with long sleeve in wine red, size '
    'small, and price lower than 30.00 dollars',
  }
  return shop.Goal(**{**fields, **changes})
