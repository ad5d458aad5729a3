"""Run functions later, elsewhere, safely."""
