/* The capability bounding set of the calling thread. */
#include "internal.h"
#include <linux/prctl.h>

/* Leave only *kept* in it.  To look whether there is something to drop costs a tenth of dropping it, and
 * who was born by a joiner that is bounded itself has nothing left to drop. */
int drop_bounds(uint64_t kept)
{
    for (int capability = 0; capability < 64; capability++) {
        if (kept >> capability & 1)
            continue;
        int there = (int)SYS(prctl, PR_CAPBSET_READ, capability, 0, 0, 0);
        if (there == -EINVAL)
            return 0; /* past the last one this kernel knows */
        if (there)
            TRY(SYS(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0));
    }
    return 0;
}
