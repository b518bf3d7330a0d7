/* The step functions, shared by steps.c and step_files.c. */
#pragma once
#include "internal.h"

/* A text of the step at hand. */
#define TEXT(field) text_of(walker->plan, step->field)

typedef int step_function(struct walker *walker, const struct pe_step *step);

step_function step_overlay, step_mount, step_bind, step_bind_at, step_borrow, step_root, step_mkdir,
    step_mknod, step_symlink, step_write, step_null, step_mask, step_readonly, step_tty, step_pivot,
    step_readonly_root, step_device, step_sysctl, step_proc_write, step_null_stdin, step_remove;
