"""How networks learn: the loop, its schedule, distillation, several processes, and what is fitted beside."""
