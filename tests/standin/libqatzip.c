/*
 * Stand-in for libqatzip.so.3 on a host with a QAT device, with faults on demand.
 *
 * It writes what the hardware path writes, gzip-ext members of hw_buff_sz bytes with XFL 0, whose
 * deflate data are stored blocks; it inflates stored blocks and no others. Faults are set with
 * standin_set(name, value), or as "name=value,..." in the environment variable STANDIN; what
 * happened is read with standin_count(name).
 *
 * -DOLD leaves out what QATzip 1.0.8 lacks, -DNO_LOG_LEVEL what 1.2.0 lacks.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, DUPLICATE = 1, NO_HW = 11, PARAMS = -1, DATA_ERROR = -4, NOSW_NO_HW = -101 };
enum { HEAD = 24, TRAILER = 8, BLOCK = 65535, SLACK = 64 };

typedef struct {
    int64_t hw_session_stat;
    int32_t thd_sess_stat;
    void *internal;
    uint64_t total_in, total_out;
} Session;

typedef struct {
    uint32_t direction, comp_lvl;
    uint8_t comp_algorithm;
    uint32_t max_forks;
    uint8_t sw_backup;
    uint32_t hw_buff_sz, strm_buff_sz, input_sz_thrshold, req_cnt_thrshold, wait_cnt_thrshold;
    uint32_t polling_mode, is_sensitive_mode, huffman_hdr, data_fmt;
} Params;

typedef struct {
    Params params;
    int broken, busy;
} State;

static struct {
    const char *name;
    long value;
} slots[] = {
    {"init_code", 0},   /* returned by qzInit */
    {"setup_code", 0},  /* returned by qzSetupSessionDeflate */
    {"call_code", 0},   /* returned by the next "times" calls */
    {"stat", 0},        /* hw_session_stat after the next "times" calls, which succeed */
    {"corrupt", 0},     /* the next "times" outputs: 1 data, 2 a header, 3 a CRC */
    {"corrupt_out", 0}, /* the next "times" decompressions put out a wrong byte */
    {"short", 0},       /* the next "times" calls consume so many bytes less */
    {"short_out", 0},   /* the next "times" decompressions produce so many bytes less */
    {"software", 0},    /* the next "times" compressions come out as software writes them */
    {"times", 1L << 30},
    {"lost_after", -1}, /* after so many calls the device is gone */
    {"chatter", 0},     /* error messages on standard error, unless the log level is 0 */
    {"unpinned", 0},    /* qzMalloc refuses */
    /* counts */
    {"inits", 0}, {"setups", 0}, {"teardowns", 0}, {"calls", 0}, {"compressed", 0},
    {"inflated", 0}, {"mallocs", 0}, {"frees", 0}, {"shared", 0}, {"after_error", 0},
    /* parameters of the latest set-up */
    {"level", 0}, {"sw_backup", 0}, {"hw_buff_sz", 0}, {"polling", 0}, {"huffman", 0},
    {"threshold", 0}, {"format", 0}, {"algorithm", 0},
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int log_level = 3;

static long *slot(const char *name)
{
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (!strcmp(slots[i].name, name))
            return &slots[i].value;
    fprintf(stderr, "stand-in: no slot %s\n", name);
    abort();
}

static void from_environment(void)
{
    const char *text = getenv("STANDIN");
    char *copy = strdup(text ? text : ""), *rest = copy, *item;
    while ((item = strsep(&rest, ",")))
        if (strchr(item, '=')) {
            char *name = strsep(&item, "=");
            *slot(name) = atol(item);
        }
    free(copy);
}

static void count(const char *name)
{
    pthread_mutex_lock(&lock);
    ++*slot(name);
    pthread_mutex_unlock(&lock);
}

static long get(const char *name)
{
    pthread_once(&once, from_environment);
    return *slot(name);
}

void standin_set(const char *name, long value) { get(name); *slot(name) = value; }
long standin_count(const char *name) { return get(name); }

/* The value of a fault that is to strike now: one of its "times" is used up. */
static long strikes(const char *name)
{
    long value = 0;
    get(name);
    pthread_mutex_lock(&lock);
    if (*slot(name) && *slot("times") > 0) {
        value = *slot(name);
        --*slot("times");
    }
    pthread_mutex_unlock(&lock);
    return value;
}

static void chatter(const char *text)
{
    if (get("chatter") && log_level > 0)
        fprintf(stderr, "[Error] %s\n", text);
}

static uint32_t crc32_of(const uint8_t *data, size_t size)
{
    static uint32_t table[256];
    uint32_t crc = ~0u;
    if (!table[1])
        for (uint32_t n = 256; n-- > 0;) {
            uint32_t c = n;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
            table[n] = c;
        }
    while (size--)
        crc = table[(crc ^ *data++) & 255] ^ (crc >> 8);
    return ~crc;
}

static void put32(uint8_t *at, uint32_t value) { memcpy(at, &value, 4); }
static uint32_t get32(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return value; }

static size_t write_member(uint8_t *out, const uint8_t *data, uint32_t size, uint8_t xfl)
{
    static const uint8_t magic[16] = {31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 12, 0, 'Q', 'Z', 8, 0};
    uint8_t *at = out + HEAD;
    uint32_t left = size;
    do {
        uint16_t block = left < BLOCK ? left : BLOCK, inverse = ~block;
        *at++ = block == left;
        memcpy(at, &block, 2);
        memcpy(at + 2, &inverse, 2);
        memcpy(at + 4, data + size - left, block);
        at += 4 + block;
        left -= block;
    } while (left);
    memcpy(out, magic, 16);
    out[8] = xfl;
    put32(out + 16, size);
    put32(out + 20, at - out - HEAD);
    put32(at, crc32_of(data, size));
    put32(at + 4, size);
    return at + TRAILER - out;
}

int qzInit(Session *session, unsigned char sw_backup)
{
    long code = get("init_code");
    count("inits");
    if (code) {
        chatter("Error no hardware");
        session->hw_session_stat = code;
        return sw_backup ? OK : (int)code;
    }
    session->hw_session_stat = OK;
    return get("inits") > 1 ? DUPLICATE : OK;
}

int qzGetDefaultsDeflate(Params *params)
{
    Params defaults = {2, 1, 8, 3, 1, 65536, 65536, 1024, 32, 8, 0, 0, 0, 2};
    *params = defaults;
    return OK;
}

#ifndef OLD
int qzSetupSessionDeflate(Session *session, Params *params)
{
    long code = get("setup_code");
    if (code) {
        chatter("Error in cpaDcGetInstances");
        session->hw_session_stat = code;
        return code;
    }
    if (session->internal)
        return DUPLICATE;
    State *state = calloc(1, sizeof *state);
    state->params = *params;
    session->internal = state;
    session->hw_session_stat = OK;
    *slot("level") = params->comp_lvl;
    *slot("sw_backup") = params->sw_backup;
    *slot("hw_buff_sz") = params->hw_buff_sz;
    *slot("polling") = params->polling_mode;
    *slot("huffman") = params->huffman_hdr;
    *slot("threshold") = params->input_sz_thrshold;
    *slot("format") = params->data_fmt;
    *slot("algorithm") = params->comp_algorithm;
    count("setups");
    return OK;
}
#endif

int qzTeardownSession(Session *session)
{
    if (session->internal)
        count("teardowns");
    free(session->internal);
    session->internal = NULL;
    return OK;
}

unsigned qzMaxCompressedLength(unsigned size, Session *session)
{
    (void)session;
    return size + (size / 1024 + 1) * SLACK;
}

/* What every call begins with: the faults that come from the device, and misuse. */
static int begin(Session *session, unsigned *in, unsigned *out)
{
    State *state = session->internal;
    long lost = get("lost_after"), code;
    count("calls");
    if (!state) {
        count("after_error");
        code = PARAMS;
    } else if (state->broken) {
        count("after_error");
        code = DATA_ERROR;
    } else if (__sync_lock_test_and_set(&state->busy, 1)) {
        count("shared");
        code = PARAMS;
    } else if (lost >= 0 && get("calls") > lost) {
        chatter("device lost");
        session->hw_session_stat = NO_HW;
        *slot("init_code") = NOSW_NO_HW;
        code = NOSW_NO_HW;
    } else {
        code = strikes("call_code");
    }
    if (code) {
        chatter("call failed");
        *in = *out = 0;
        if (state) {
            state->broken |= code != -103 && code != 13;
            state->busy = 0;
        }
    }
    return code;
}

static int end(Session *session, unsigned *in, unsigned cut)
{
    long stat = strikes("stat");
    State *state = session->internal;
    if (cut)
        *in -= cut;
    session->hw_session_stat = stat;
    state->busy = 0;
    return OK;
}

int qzCompress(Session *session, const unsigned char *src, unsigned *src_len, unsigned char *dest,
               unsigned *dest_len, unsigned last)
{
    int code = begin(session, src_len, dest_len);
    if (code)
        return code;
    State *state = session->internal;
    int software = strikes("software") != 0;
    unsigned step = software ? *src_len : state->params.hw_buff_sz, made = 0;
    for (unsigned at = 0; at < *src_len; at += step) {
        unsigned size = *src_len - at < step ? *src_len - at : step;
        made += write_member(dest + made, src + at, size, software ? 4 : 0);
    }
    switch (last ? strikes("corrupt") : 0) {
    case 1: dest[HEAD + 100] ^= 1; break;
    case 2: dest[20] ^= 1; break;
    case 3: dest[made - TRAILER] ^= 1; break;
    }
    *dest_len = made;
    count("compressed");
    return end(session, src_len, strikes("short"));
}

static int inflate_member(const uint8_t *src, size_t size, uint8_t *dest, size_t room)
{
    uint32_t promised = get32(src + 16), done = 0;
    const uint8_t *at = src + HEAD, *stop = src + size - TRAILER;
    int final = 0;
    while (!final) {
        uint16_t block;
        if (at + 5 > stop || *at > 1)
            return DATA_ERROR; /* not a stored block */
        final = *at;
        memcpy(&block, at + 1, 2);
        if (at + 5 + block > stop || done + block > room)
            return DATA_ERROR;
        memcpy(dest + done, at + 5, block);
        done += block;
        at += 5 + block;
    }
    if (done != promised || get32(stop) != crc32_of(dest, done) || get32(stop + 4) != done)
        return DATA_ERROR;
    return OK;
}

int qzDecompress(Session *session, const unsigned char *src, unsigned *src_len,
                 unsigned char *dest, unsigned *dest_len)
{
    int code = begin(session, src_len, dest_len);
    if (code)
        return code;
    State *state = session->internal;
    unsigned at = 0, made = 0;
    while (at < *src_len) {
        unsigned size = get32(src + at + 20) + HEAD + TRAILER, src_size = get32(src + at + 16);
        code = src_size > state->params.hw_buff_sz
                   ? DATA_ERROR
                   : inflate_member(src + at, size, dest + made, *dest_len - made);
        if (code) {
            chatter("damaged data");
            *src_len = at;
            *dest_len = made;
            state->broken = 1;
            state->busy = 0;
            return code;
        }
        at += size;
        made += src_size;
    }
    if (strikes("corrupt") || strikes("corrupt_out"))
        dest[made / 2] ^= 1;
    *dest_len = made - strikes("short_out");
    count("inflated");
    return end(session, src_len, strikes("short"));
}

void *qzMalloc(size_t size, int numa, int pinned)
{
    (void)numa;
    (void)pinned;
    if (get("unpinned"))
        return NULL;
    count("mallocs");
    return malloc(size);
}

void qzFree(void *memory)
{
    count("frees");
    free(memory);
}

#if !defined OLD && !defined NO_LOG_LEVEL
int qzSetLogLevel(int level)
{
    int before = log_level;
    log_level = level;
    return before;
}
#endif
