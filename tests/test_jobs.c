/* How many prompts are computed at once, by the models' sizes, threads, samples and memory. */
#include "harness/run/jobs.h"

#include <sched.h>
#include <stdatomic.h>

#include "harness/run/room.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static const struct {
    int width, ff, threads, samples, best;
} choices[] = {
    {576, 1536, 2, 100, 1},                              /* two cores: one prompt has work for both */
    {576, 1536, 4, 100, 1},                              /* SmolLM2-135M: 4 threads to a prompt */
    {576, 1536, 16, 100, 4},   {576, 1536, 16, 3, 3},    /* no more than there are prompts */
    {576, 1536, 16, 1, 1},     {2048, 8192, 16, 100, 1}, /* a billion parameters fill 16 cores */
    {2048, 8192, 256, 100, 3}, {128, 352, 16, 100, 16},  /* a toy */
};

START_TEST(small_models_on_many_cores_take_several_prompts_at_once)
{
    struct exp_model m = {.hp = {.n_layer = 30,
                                 .d_model = choices[_i].width,
                                 .n_head = choices[_i].width / 64,
                                 .n_kv_head = choices[_i].width / 64,
                                 .head_dim = 64,
                                 .d_ff = choices[_i].ff}};
    struct experiment x = {.model = &m, .n_model = 1, .samples = choices[_i].samples};
    struct jobs_choice c;
    jobs_choose(&x, choices[_i].threads, 1e9, 0, &c);
    ck_assert_msg(c.best == choices[_i].best, "case %d: %d at once", _i, c.best);
    ck_assert_int_eq(c.most, choices[_i].threads); /* memory is not known */
}
END_TEST

START_TEST(jobs_share_weights_and_the_memory_of_cells)
{
    struct estimate_group g = {
        .n_cell = 4, .weights = 1000, .activations = 10, .full_cache = 20, .cells = 400, .largest = 50};
    double one = estimate_peak(&g, 200) - g.weights, two = estimate_peak(&g, 100) - g.weights;
    ck_assert_double_eq(jobs_peak(&g, 200, 1), 1000 + one);
    ck_assert_double_eq(jobs_peak(&g, 200, 2), 1000 + 2 * two);
    ck_assert(two < one);
}
END_TEST

START_TEST(jobs_take_together_what_is_free_and_no_more)
{
    struct room r;
    room_init(&r, 100, 2);
    ck_assert_double_eq(room_take(&r, 30, 60), 60);
    ck_assert_double_eq(room_take(&r, 41, 80), -1); /* 40 are left, though the system may call 100 free */
    ck_assert_double_eq(room_take(&r, 30, 80), 40); /* fewer than it would like */
    ck_assert_double_eq(room_take(&r, 1, 1), -1);
    room_give_back(&r, 60);
    ck_assert_double_eq(room_wait(&r, 60, 60), 60);
    room_give_back(&r, 100);
    room_leave(&r);
    ck_assert_double_eq(room_wait(&r, 101, 200), -1); /* the last one does not wait for itself */
    room_fini(&r);
    room_init(&r, 0, 2);
    ck_assert_double_eq(room_take(&r, 1e15, 2e15), 2e15); /* nobody knows what is free */
    room_fini(&r);
}
END_TEST

enum { TAKERS = 8, ROUNDS = 2000, FREE = 100 };

struct taker {
    struct room *room;
    atomic_int *all;
    int number, refused, over;
};

/* Needs between 1 and 130 of 100 bytes, mostly more than others leave. */
static void *take_and_give(void *arg)
{
    struct taker *t = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int need = 1 + (i * 37 + t->number * 53) % 130;
        double got = room_take(t->room, need, need);
        got = got < 0 ? room_wait(t->room, need, need) : got;
        t->refused += got < 0 && need <= FREE; /* nobody holds anything while it waits, so it has to fit some time */
        t->over += got >= 0 && need > FREE;
        if (got < 0)
            continue;
        t->over += atomic_fetch_add(t->all, need) + need > FREE;
        sched_yield();
        atomic_fetch_sub(t->all, need);
        room_give_back(t->room, got);
    }
    room_leave(t->room);
    return NULL;
}

START_TEST(what_does_not_fit_beside_the_others_waits_for_them)
{
    struct room r;
    struct taker t[TAKERS];
    pthread_t thread[TAKERS];
    atomic_int all = 0;
    room_init(&r, FREE, TAKERS);
    for (int i = 0; i < TAKERS; i++) {
        t[i] = (struct taker){.room = &r, .all = &all, .number = i};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, take_and_give, &t[i]), 0);
    }
    for (int i = 0; i < TAKERS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < TAKERS; i++)
        ck_assert_msg(!t[i].refused && !t[i].over, "job %d: %d refused that fit alone, %d times more than is free", i,
                      t[i].refused, t[i].over);
    ck_assert_double_eq(r.taken, 0);
    room_fini(&r);
}
END_TEST

Suite *make_jobs_suite(void)
{
    Suite *s = suite_create("jobs");
    TCase *t = tcase_create("jobs");
    tcase_add_loop_test(t, small_models_on_many_cores_take_several_prompts_at_once, 0,
                        (int)(sizeof choices / sizeof *choices));
    tcase_add_test(t, jobs_share_weights_and_the_memory_of_cells);
    tcase_add_test(t, jobs_take_together_what_is_free_and_no_more);
    tcase_add_test(t, what_does_not_fit_beside_the_others_waits_for_them);
    suite_add_tcase(s, t);
    return s;
}
