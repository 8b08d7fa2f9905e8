/* A stand-in for libvirt.so.0 and libvirt-qemu.so.0: one daemon with two domains, "guest", which
 * runs, and "other", which is shut off. Files in the folder FAKE_LIBVIRT say what it does:
 *
 *     closed    nobody answers
 *     lost      the connection has ended
 *     refuse    migrations are refused
 *     hold      a migration takes until the job is aborted; there are statistics of it
 *     measured  a dirty rate is known
 *     stands    it looks no domain up for now; "waits" tells that it was asked to
 *
 * What it was asked goes to the file "calls", a line each. tests/fakes_libvirt.py has the same as a
 * virsh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { char field[80]; int type; union { int i; unsigned ui; long long l; unsigned long long ul; double d; char b; char *s; } value; } parameter;
typedef struct { int references; char uri[300]; } connection; /* one that is over is kept, to be told */
typedef struct { void *dom; parameter *params; int nparams; } record;

static __thread int code;
static __thread char message[256];

static const char *place(const char *file) {
    static __thread char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("FAKE_LIBVIRT"), file);
    return path;
}
static int has(const char *file) { return access(place(file), F_OK) == 0; }
static int fail(int number, const char *words) {
    code = number;
    snprintf(message, sizeof message, "%s", words);
    return -1;
}
static FILE *calls(void) { return fopen(place("calls"), "a"); }
static int over(connection *one) {
    if (has("stands")) fclose(fopen(place("waits"), "w"));
    while (has("stands")) usleep(10000);
    return one->references > 0 ? 0 : fail(6, "invalid connection pointer");
}

int virInitialize(void) { return 0; }
int virEventRegisterDefaultImpl(void) { return -1; }
int virEventRunDefaultImpl(void) { return -1; }
void virSetErrorFunc(void *user, void *function) { (void)user; (void)function; }
const char *virGetLastErrorMessage(void) { return message; }
int virGetLastErrorCode(void) { return code; }
void virResetLastError(void) { code = 0; }

void *virConnectOpen(const char *uri) {
    connection *one = calloc(1, sizeof *one);
    one->references = 1;
    snprintf(one->uri, sizeof one->uri, "%s", uri);
    if (!has("closed")) return one;
    free(one);
    fail(38, "Failed to connect socket to '/x': No such file or directory");
    return NULL;
}
int virConnectRef(connection *one) { one->references++; return 0; }
int virConnectClose(connection *one) { return --one->references; }
int virConnectIsAlive(void *connection) { (void)connection; return !has("lost"); }
int virConnectSetKeepAlive(void *connection, int interval, unsigned count) {
    (void)connection; (void)interval; (void)count;
    return 0;
}
int virConnectListAllDomains(connection *one, void ***found, unsigned flags) {
    (void)flags;
    if (over(one)) return -1;
    *found = calloc(3, sizeof **found);
    (*found)[0] = strdup("guest");
    (*found)[1] = strdup("other");
    return 2;
}
void *virDomainLookupByName(connection *one, const char *name) {
    char words[200];
    if (over(one)) return NULL;
    if (has("lost")) { fail(38, "End of file while reading data: Input/output error"); return NULL; }
    if (!strcmp(name, "guest") || !strcmp(name, "other")) return strdup(name);
    snprintf(words, sizeof words, "Domain not found: no domain with matching name '%s'", name);
    fail(42, words);
    return NULL;
}
int virDomainFree(void *domain) { free(domain); return 0; }
const char *virDomainGetName(void *domain) { return domain; }
int virDomainGetState(void *domain, int *state, int *reason, unsigned flags) {
    (void)flags;
    *state = strcmp(domain, "guest") ? 5 : 1;
    *reason = 0;
    return 0;
}
char *virDomainGetXMLDesc(void *domain, unsigned flags) {
    char text[200];
    (void)flags;
    snprintf(text, sizeof text, "<domain><name>%s</name></domain>", (char *)domain);
    return strdup(text);
}

static int migrate(const char *to, parameter *given, unsigned count, unsigned flags) {
    FILE *file = calls();
    fprintf(file, "migrate %s %u", to, flags);
    for (unsigned at = 0; at < count; at++) {
        if (given[at].type == 1) fprintf(file, " %s=%d", given[at].field, given[at].value.i);
        else fprintf(file, " %s=%s", given[at].field, given[at].value.s);
    }
    fprintf(file, "\n");
    fclose(file);
    if (has("refuse")) return fail(55, "Requested operation is not valid: it has host devices");
    if (!has("hold")) return 0;
    while (!has("abort")) usleep(10000);
    return fail(78, "operation aborted: job 'migration out' canceled by client");
}
void *virDomainMigrate3(void *domain, connection *to, parameter *given, unsigned count, unsigned flags) {
    int failed = migrate(to->uri, given, count, flags);
    return over(to) || failed ? NULL : strdup(domain);
}
int virDomainMigrateToURI3(void *domain, const char *to, parameter *given, unsigned count, unsigned flags) {
    (void)domain;
    return migrate(to, given, count, flags);
}
int virDomainMigrateSetMaxDowntime(void *domain, unsigned long long milliseconds, unsigned flags) {
    FILE *file = calls();
    (void)flags;
    fprintf(file, "downtime %s %llu\n", (char *)domain, milliseconds);
    fclose(file);
    return 0;
}
int virDomainSuspend(void *domain) {
    FILE *file = calls();
    fprintf(file, "suspend %s\n", (char *)domain);
    fclose(file);
    return 0;
}

static parameter *add(parameter **all, int *count, int *room, const char *name, int type) {
    if (*count >= *room) {
        *room = *count + 4;
        *all = realloc(*all, *room * sizeof **all);
    }
    parameter *one = *all + (*count)++;
    memset(one, 0, sizeof *one);
    snprintf(one->field, sizeof one->field, "%s", name);
    one->type = type;
    return one;
}
int virTypedParamsAddString(parameter **all, int *count, int *room, const char *name, const char *value) {
    add(all, count, room, name, 7)->value.s = strdup(value);
    return 0;
}
int virTypedParamsAddInt(parameter **all, int *count, int *room, const char *name, int value) {
    add(all, count, room, name, 1)->value.i = value;
    return 0;
}
void virTypedParamsFree(parameter *all, int count) {
    for (int at = 0; at < count; at++) if (all[at].type == 7) free(all[at].value.s);
    free(all);
}
int virDomainGetJobStats(void *domain, int *type, parameter **found, int *count, unsigned flags) {
    int room = 0;
    (void)domain;
    *type = *count = 0;
    *found = NULL;
    if (!(flags & 1) && !has("hold")) return 0;
    *type = flags & 1 ? 3 : 2;
    add(found, count, &room, "operation", 1)->value.i = 5;
    add(found, count, &room, "memory_total", 4)->value.ul = 1ULL << 40;
    add(found, count, &room, flags & 1 ? "downtime" : "memory_remaining", 4)->value.ul = 77;
    add(found, count, &room, "errmsg", 7)->value.s = strdup("none");
    return 0;
}
int virDomainAbortJob(void *domain) {
    (void)domain;
    if (!has("hold")) return fail(55, "Requested operation is not valid: no job is active");
    fclose(fopen(place("abort"), "w"));
    return 0;
}
int virDomainStartDirtyRateCalc(void *domain, int seconds, unsigned flags) {
    FILE *file = calls();
    (void)flags;
    fprintf(file, "dirty %s %d\n", (char *)domain, seconds);
    fclose(file);
    return 0;
}
int virDomainListGetStats(void **domains, unsigned stats, record ***found, unsigned flags) {
    int room = 0;
    record *one = calloc(1, sizeof *one);
    (void)domains; (void)flags;
    if (stats != 512) return fail(8, "invalid argument: stats");
    add(&one->params, &one->nparams, &room, "dirtyrate.calc_status", 1)->value.i = 2;
    if (has("measured"))
        add(&one->params, &one->nparams, &room, "dirtyrate.megabytes_per_second", 3)->value.l = 12;
    *found = calloc(2, sizeof **found);
    **found = one;
    return 1;
}
void virDomainStatsRecordListFree(record **found) {
    virTypedParamsFree((*found)->params, (*found)->nparams);
    free(*found);
    free(found);
}
int virDomainQemuMonitorCommand(void *domain, const char *command, char **answer, unsigned flags) {
    FILE *file = calls();
    (void)flags;
    fprintf(file, "monitor %s %s\n", (char *)domain, command);
    fclose(file);
    *answer = strdup("{\"return\": {\"status\": \"running\"}, \"id\": \"libvirt-1\"}");
    return 0;
}
