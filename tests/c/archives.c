/* tar_*.c, untar*.c: what is written is read again, numbers at their bounds, and memory that is not ours. */
#include "check.h"
#include "pack.h"
#include "untar.h"

static int number_of(const char *field, size_t size, int64_t wanted)
{
    int64_t number = -77;

    return tar_number(field, size, &number) == 0 && number == wanted;
}

TEST(numbers_are_read_in_octal_and_in_base_256)
{
    int64_t number;

    CHECK(number_of("0000644", 8, 0644));
    CHECK(number_of("    644 ", 8, 0644));
    CHECK(number_of("77777777", 8, 077777777));
    CHECK(number_of("\0\0\0\0\0\0\0\0", 8, 0));
    CHECK(number_of("\x80\0\0\0\0\0\1\0", 8, 256));
    CHECK(number_of("\xff\xff\xff\xff\xff\xff\xff\xfe", 8, -2));
    CHECK(number_of("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, INT64_MAX));
    CHECK(number_of("\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, INT64_MIN));
    CHECK(tar_number("\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, &number) < 0);
    CHECK(tar_number("\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12, &number) < 0);
    CHECK(tar_number("\x80\1\0\0\0\0\0\0\0\0\0\0", 12, &number) < 0);
    CHECK(tar_number("0000648", 8, &number) < 0);
    CHECK(tar_number("00 0644", 8, &number) < 0);
}

static int cleaned(const char *name, const char *wanted)
{
    char clean[LONGEST_NAME + 1];

    return clean_name(name, clean) == 0 && same(clean, wanted);
}

TEST(names_are_made_clean)
{
    char clean[LONGEST_NAME + 1], longest[LONGEST_NAME + 1];

    CHECK(cleaned("./a//b/./c/", "a/b/c"));
    CHECK(cleaned("/a", "a"));
    CHECK(cleaned("a/..", ""));
    CHECK(cleaned("a/b/../../c", "c"));
    CHECK(cleaned("..a/...", "..a/..."));
    CHECK(cleaned("", ""));
    SAME(clean_name("..", clean), -PE_TAR_OUTSIDE);
    SAME(clean_name("/..", clean), -PE_TAR_OUTSIDE);
    SAME(clean_name("a/../..", clean), -PE_TAR_OUTSIDE);
    memset(longest, 'a', LONGEST_NAME);
    longest[LONGEST_NAME] = 0;
    CHECK(cleaned(longest, longest));
}

static int hidden(const char *name, int kind, const char *wanted)
{
    char clean[LONGEST_NAME + 1];

    strcpy(clean, name);
    return whiteout_kind(clean) == kind && (kind != NAME_WHITEOUT || same(clean, wanted));
}

TEST(whiteouts_are_told_by_their_names)
{
    CHECK(hidden("a/b", NAME_FILE, ""));
    CHECK(hidden("a/.wha", NAME_FILE, ""));
    CHECK(hidden(".wh.a", NAME_WHITEOUT, "a"));
    CHECK(hidden("a/.wh.b", NAME_WHITEOUT, "a/b"));
    CHECK(hidden("a/.wh..wh..opq", NAME_OPAQUE, ""));
    CHECK(hidden(".wh..wh.plnk/1", NAME_NOTHING, ""));
    CHECK(hidden(".wh..wh.aufs", NAME_NOTHING, ""));
    CHECK(hidden(".wh.a/b", -PE_TAR_WHITEOUT, ""));
    CHECK(hidden(".wh.", -PE_TAR_WHITEOUT, ""));
    CHECK(hidden("a/.wh..", -PE_TAR_WHITEOUT, ""));
    CHECK(hidden("a/.wh...", -PE_TAR_WHITEOUT, ""));
}

/* What out_header writes for *member*, read by the reader's own functions. */
static int read_back(const struct tar_member *member, struct tar_entry *entry)
{
    static char room[OUT_ROOM];
    struct out out = {.fd = -1, .most = OUT_ROOM / 2, .room = room};
    struct growing pax = {0};
    struct tar_overrides overrides = {0};
    const struct tar_block *block = (const struct tar_block *)(const void *)room;

    *entry = (struct tar_entry){.sparse.offset = -1};
    SAME(out_header(&out, member, &pax), 0);
    if (pax.size) {
        CHECK(tar_is_header(block));
        SAME(block->type, 'x');
        SAME(tar_read_pax((struct tar_text){pax.at, pax.size}, &overrides, &entry->sparse), 0);
        block += 1 + padded(pax.size) / BLOCK;
    }
    CHECK(tar_is_header(block));
    SAME(tar_read_header(block, entry), 0);
    int read = tar_override(entry, &overrides);
    tar_settle_type(entry);
    int headers = pax.size > 0;
    free(pax.at);
    SAME(read, 0);
    return headers;
}

TEST(what_is_written_is_read_again)
{
    static struct tar_entry entry;
    struct tar_member member = {.name = "a", .link = "", .type = '0', .mode = 04755, .size = 077777777777};

    SAME(read_back(&member, &entry), 0);
    SAME(entry.size, 077777777777);
    SAME(entry.mode, 04755);
    member.size++;
    member.uid = 010000000;
    member.gid = UINT32_MAX - 1;
    member.mtime = -5;
    member.mtime_ns = 250000000;
    SAME(read_back(&member, &entry), 1);
    SAME(entry.size, 0100000000000);
    SAME(entry.uid, 010000000);
    SAME(entry.gid, UINT32_MAX - 1);
    SAME(entry.mtime, -5);
    SAME(entry.mtime_ns, 250000000);
    member = (struct tar_member){.name = "a", .link = "", .type = '0', .mtime = INT64_MAX};
    SAME(read_back(&member, &entry), 1);
    SAME(entry.mtime, INT64_MAX);
}

TEST(names_of_every_length_are_read_again)
{
    static struct tar_entry entry;
    char name[LONGEST_NAME + 1];

    for (size_t n = 1; n <= 600; n++)
        for (size_t every = 50; every <= 170; every += 40) {
            for (size_t i = 0; i < n; i++)
                name[i] = i % every == every - 1 ? '/' : 'n';
            name[n] = 0;
            struct tar_member member = {.name = name, .link = name, .type = '2'};
            read_back(&member, &entry);
            CHECK(same(entry.name, name));
            CHECK(same(entry.link, name));
        }
}

TEST(lengths_of_records_count_themselves)
{
    char value[1100];
    struct growing text = {0};
    struct tar_record record;

    memset(value, 'v', sizeof value);
    for (size_t n = 0; n < sizeof value; n++) {
        text.size = 0;
        SAME(add_record(&text, "a.", "b", value, n), 0);
        struct tar_text rest = {text.at, text.size};
        SAME(tar_next_record(&rest, &record), 1);
        SAME(record.value.size, n);
        SAME(rest.size, 0);
    }
    free(text.at);
}

/* Each piece in memory of its own, so that a byte read behind it is found. */
TEST(nothing_is_read_beyond_a_piece)
{
    struct pe_untarred result;
    struct pe_untar *untar;
    struct growing archive = {0};
    char name[300];
    int top = open_here(), pipe_fds[2];

    make_directory("source/d");
    memset(name, 'n', sizeof name);
    memcpy(name, "source/", 7);
    name[250] = 0;
    make_file(name, "text");
    make_link("source/link", name);
    make_directory("to");
    SAME(pipe(pipe_fds), 0);
    int source = OPENED(openat(top, "source", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct pe_packed packed;
    char at_hand[PE_PACK_NAME_ROOM];
    SAME(pe_pack(source, pipe_fds[1], PE_PACK_OVERLAY, 0, 1 << 20, at_hand, &packed), 0);
    close(pipe_fds[1]);
    archive.at = malloc(packed.bytes);
    archive.size = (size_t)read(pipe_fds[0], archive.at, packed.bytes);
    SAME(archive.size, packed.bytes);
    close(pipe_fds[0]);
    for (size_t piece = 1; piece < 1200; piece += 97) {
        make_directory("to");
        int to = OPENED(openat(top, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        SAME(pe_untar_new(to, PE_UNTAR_USER_XATTRS, 100, 100, &untar), 0);
        for (size_t i = 0; i < archive.size; i += piece) {
            size_t n = archive.size - i < piece ? archive.size - i : piece;
            char *own = malloc(n);
            memcpy(own, archive.at + i, n);
            SAME(pe_untar_feed(untar, own, n), 0);
            free(own);
        }
        SAME(pe_untar_finish(untar, &result), 0);
        SAME(result.entries, 4);
        pe_untar_free(untar);
        close(to);
        SAME(pe_remove_tree(top, "to"), 0);
    }
    free(archive.at);
    close(source);
    close(top);
}
