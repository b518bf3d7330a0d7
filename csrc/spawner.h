/* Work for the spawner threads. */
#pragma once
#include "internal.h"

enum { BIRTH_STACK = 256 * 1024 };

/* Run work(arg) on a long-lived thread, and wait for its answer. */
int on_spawner(int (*work)(void *arg, char *stack_top), void *arg);
