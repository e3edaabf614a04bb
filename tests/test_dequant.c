/* Element types of GGUF against the gguf Python package, bit for bit; 16-bit floats there and back. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "models/dequant.h"
#include "models/half.h"
#include "tests/suites.h"
#include "tests/vectors/dequant.h"

#define CASE(name, code) {code, #name, raw_##name, sizeof raw_##name, bits_##name, sizeof bits_##name / 4},
static const struct {
    uint32_t code;
    const char *name;
    const uint8_t *raw;
    size_t bytes;
    const uint32_t *bits;
    size_t n;
} cases[] = {DEQUANT_CASES};
#undef CASE

START_TEST(every_type_gives_the_reference_bits)
{
    float x[1024];
    const struct dequant_type *t = dequant_find(cases[_i].code);
    ck_assert_ptr_nonnull(t);
    ck_assert_str_eq(t->name, cases[_i].name);
    ck_assert_uint_le(cases[_i].n, 1024);
    ck_assert_uint_eq(cases[_i].n / t->values * t->bytes, cases[_i].bytes);
    dequant_run(t, cases[_i].raw, x, cases[_i].n);
    for (size_t i = 0; i < cases[_i].n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        ck_assert_msg(bits == cases[_i].bits[i], "%s value %zu: %a", cases[_i].name, i, (double)x[i]);
    }
}
END_TEST

START_TEST(all_halves_come_back_as_they_were)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float x = half_from_f16((uint16_t)h), y = half_from_bf16((uint16_t)h);
        if (isnan(x))
            ck_assert(isnan(half_from_f16(half_to_f16(x))));
        else
            ck_assert_uint_eq(half_to_f16(x), h);
        if (isnan(y))
            ck_assert(isnan(half_from_bf16(half_to_bf16(y))));
        else
            ck_assert_uint_eq(half_to_bf16(y), h);
    }
}
END_TEST

START_TEST(rounding_to_halves_is_to_nearest_even)
{
    static const struct {
        float x;
        uint16_t f16, bf16;
    } c[] = {{1.0f, 0x3C00, 0x3F80},           {1.00048828125f, 0x3C00, 0x3F80}, /* 1 + 2^-11: half way, to even */
             {1.00146484375f, 0x3C02, 0x3F80},                                   /* 1 + 3 x 2^-11: half way, to even */
             {1.00390625f, 0x3C04, 0x3F80},                                      /* 1 + 2^-8: half way in bf16 */
             {1.01171875f, 0x3C0C, 0x3F82},                                      /* 1 + 3 x 2^-8 */
             {65504.0f, 0x7BFF, 0x4780},       {65519.99f, 0x7BFF, 0x4780},
             {65520.0f, 0x7C00, 0x4780},       {0x1p-25f, 0x0000, 0x3300}, /* half of the smallest subnormal: to even */
             {0x1.8p-25f, 0x0001, 0x3340},     {-0x1p-14f, 0x8400, 0xB880},
             {0x1.ffep-15f, 0x0400, 0x3880}}; /* rounds up into the normal numbers */
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        ck_assert_msg(half_to_f16(c[i].x) == c[i].f16, "case %zu: f16 %x", i, half_to_f16(c[i].x));
        ck_assert_msg(half_to_bf16(c[i].x) == c[i].bf16, "case %zu: bf16 %x", i, half_to_bf16(c[i].x));
    }
}
END_TEST

Suite *make_dequant_suite(void)
{
    Suite *s = suite_create("dequant");
    TCase *t = tcase_create("core");
    tcase_add_loop_test(t, every_type_gives_the_reference_bits, 0, sizeof cases / sizeof *cases);
    tcase_add_test(t, all_halves_come_back_as_they_were);
    tcase_add_test(t, rounding_to_halves_is_to_nearest_even);
    suite_add_tcase(s, t);
    return s;
}
