"""Classical generators and searches: the controls that any claim about quantum ones needs."""
