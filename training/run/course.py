"""A training from its settings to exported weights."""

import logging

logger = logging.getLogger("uniportrait")
