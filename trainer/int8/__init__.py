"""WeldNet in int8 arithmetic: dynamic and static, layer by layer."""
