"""How much likeness the method keeps in the drawn world, measured on people whom no network was trained on."""
