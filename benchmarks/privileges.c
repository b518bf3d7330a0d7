/* Giving up what a container's program may not have. */
#include "container.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

static void drop_bounding(uint64_t kept)
{
    for (int capability = 0; capability < 64; capability++)
        if (!(kept >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return; /* past the last one */
}

void drop_privileges(const struct recipe *recipe)
{
    uint32_t low = (uint32_t)recipe->capabilities, high = (uint32_t)(recipe->capabilities >> 32);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = low, .permitted = low},
        {.effective = high, .permitted = high},
    };
    gid_t root = 0;

    drop_bounding(recipe->capabilities);
    if ((!recipe->rootless && SYS(setgroups, 1, &root) < 0) || SYS(setresgid, 0, 0, 0) < 0 ||
        SYS(setresuid, 0, 0, 0) < 0)
        die("set ids");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        die("PR_SET_PDEATHSIG");
    if (recipe->filter.len &&
        SYS(seccomp, SECCOMP_SET_MODE_FILTER, recipe->filter_flags, &recipe->filter) < 0)
        die("install the filter");
    if (SYS(capset, &header, data) < 0)
        die("capset");
}
