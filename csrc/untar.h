/* Unpacking: the reader of an archive, and where it puts what it reads. */
#pragma once
#include "tar.h"
#include <sys/stat.h>
#include <time.h>

enum { KEPT = 48 }; /* directories held open */

/* A directory of the layer, open because something was put into it lately.  It gets its mode and times when
 * it is let go of: until then, what is put into it would change them, or be refused. */
struct directory {
    char *path; /* without links; NULL: this place is free */
    size_t length;
    int fd;
    uint64_t used; /* when, in turns */
    gid_t group;
    mode_t mode;
    struct timespec modified;
    int unlike; /* its mode is not yet that */
    int touched;
};

struct directories {
    uint64_t turn;
    struct directory *pinned;    /* stays, whatever else is opened; or NULL */
    struct directory kept[KEPT]; /* the first is the layer itself, and stays */
};

/* Where a layer is unpacked. */
struct place {
    struct directories directories;
    unsigned flags;
    uint32_t user, group;                                  /* whose a new file is */
    int file;                                              /* the regular file at hand, or -1 */
    char name[LONGEST_NAME + 1], target[LONGEST_NAME + 1]; /* its name, and what it links to, made clean */
    struct pe_untarred count;
};

/* untar_names.c: pure. */
enum name_kind { NAME_FILE, NAME_WHITEOUT, NAME_OPAQUE, NAME_NOTHING };
int clean_name(const char *name, char clean[LONGEST_NAME + 1]);
int whiteout_kind(char *clean); /* enum name_kind; a whiteout's name becomes that of what it hides */
const char *split_name(const char *path, size_t *parent_length);

/* untar_directories.c */
enum { MAKE = 1 };
int begin_directories(struct place *place, int fd);
int end_directories(struct place *place); /* all get their modes and times; the first failure is told */
int let_go_below(struct place *place);    /* what was held open may be another now */
void drop_directories(struct place *place);
int hold_directory(struct place *place, const char *path, size_t length, int make, struct directory **found);

/* untar_place.c */
int place_begin(struct place *place, const struct tar_entry *entry, struct tar_text attributes);
int place_data(struct place *place, const char *data, size_t size, uint64_t offset);
int place_end(struct place *place, const struct tar_entry *entry, struct tar_text attributes);
void place_drop(struct place *place);

/* untar_attributes.c */
int set_attributes(struct place *place, struct tar_text records, int fd, const char *path);
int set_owner(struct place *place, int fd, const char *name, const struct tar_entry *entry);
int make_opaque(struct place *place, struct directory *directory);
