/* For a program without a libc that runs on a stack of its own: see lean.c. */
#pragma once
#include <stdint.h>

void be_lean(void); /* let go of all memory that is not between our first byte and our last */
uint64_t hexadecimal(const char *text);
