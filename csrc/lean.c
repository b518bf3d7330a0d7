/* Being small, for who has many children: what they are cloned with is copied area by area, and torn down
 * again by each when it becomes its program.
 *
 * The kernel gives every program a stack, and pages to ask for the time without a system call; a program that
 * lives in its own bss needs neither. */
#include "lean.h"
#include "internal.h"

extern const char _end[]; /* where the linker says that our own memory ends */

static const char *number(const char *text, uintptr_t *value)
{
    for (*value = 0;; text++) {
        if (*text >= '0' && *text <= '9')
            *value = *value << 4 | (uintptr_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            *value = *value << 4 | (uintptr_t)(*text - 'a' + 10);
        else
            return text;
    }
}

/* An area is a line, and starts with "from-to ". */
static void unmap_areas(const char *text)
{
    while (*text) {
        uintptr_t from, to;

        text = number(text, &from);
        if (*text == '-')
            number(text + 1, &to);
        else
            to = from;
        if (from >= (uintptr_t)_end && to > from)
            SYS(munmap, from, to - from); /* what may not go, such as x86's vsyscall page, stays */
        while (*text && *text++ != '\n')
            continue;
    }
}

void be_lean(void)
{
    static char text[8192]; /* of some ten lines */
    size_t n = 0;
    OWNED_FD maps = (int)SYS(openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);

    while (maps >= 0 && n < sizeof text - 1) {
        long got = SYS(read, maps, text + n, sizeof text - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    text[n] = 0;
    unmap_areas(text);
}

uint64_t hexadecimal(const char *text)
{
    uintptr_t value;

    number(text, &value);
    return value;
}
