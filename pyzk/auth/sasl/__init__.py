"""SASL: one module for each mechanism, what Kerberos names become, and the scheme.

Pure. The context of Kerberos is handed in, for it asks a library that blocks.
"""
