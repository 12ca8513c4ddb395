"""Pictures and pages for people, made from the folder of a run.

python -m jaxcredit.reports RUN
python -m jaxcredit.reports.prefix_tree FILE
"""
