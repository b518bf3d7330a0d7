/* What is open while a child is on its way. */
#pragma once
#include "internal.h"

/* The two ends of what a child tells: `hear` stays with us, `tell` is the child's. */
struct report {
    int hear;
    int tell;
    struct report *next;
};

int open_report(struct report *report);
void close_tell(struct report *report);

void begin_birth(void);
void end_birth(void);
