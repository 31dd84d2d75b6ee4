// Elementary functions on vec_t<T>, T = float or double: branch-free, every lane its own argument.
//
// Vector extensions only, so every instruction set runs the same source; results differ between
// levels in the last bits, because only v3 and v4 fuse multiply-adds. Signed zeros, infinities and
// NaN are honoured unless a comment says otherwise. The template argument is always written out,
// as in exp<T>(x): vec_t<T> does not deduce it.
//
// The coefficients are our own: cpp/tools/fit_polynomials.py fits and prints them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "enfilt/simd.hpp"

ENFILT_OPEN
namespace detail {

// The layout of T and what fit_polynomials.py printed for it, powers ascending. "Relative error" is
// that of the finished function in exact arithmetic.
template <class T>
struct constants;

template <>
struct constants<float> {
    using uint = std::uint32_t;
    static constexpr int mantissa_bits = 23;
    static constexpr int bias = 127;
    static constexpr uint sqrt_half = 0x3f3504f3;  // bits of the float next to sqrt(1/2)
    static constexpr float exp_low = -87.4f;       // here exp() gives 0 ...
    static constexpr float exp_high = 89.0f;       // ... and here infinity

    static constexpr float ln2_high = 0.69314575f;
    static constexpr float ln2_low = 1.4286068e-06f;
    static constexpr float atan_pivot = 1.6180041f;
    static constexpr float atan_angle = 1.0172137f;
    static constexpr float exp_terms[] = {  // relative error 3.6e-09
        2.0f, 2.0f, 0.99999976f, 0.33333036f, 0.0833393f, 0.01673789f, 0.0027490607f};
    static constexpr float expm1_terms[] = {  // relative error 1.4e-08
        0.99999994f, 0.6666617f, 0.3333402f, 0.13386677f, 0.04435969f};
    static constexpr float log_terms[] = {  // relative error 3.4e-08
        -0.5f, 0.33333972f, -0.2500097f, 0.1996061f, -0.16587979f, 0.14950885f, -0.14197224f,
        0.085068755f};
    static constexpr float atan_terms[] = {  // relative error 5.5e-08
        -0.33332673f, 0.19975135f, -0.13972871f, 0.09313783f, -0.03905006f};
    static constexpr float sin_terms[] = {  // relative error 1.0e-08
        0.5707963f, -0.6459636f, 0.07968932f, -0.0046732877f, 0.0001512742f};
};

template <>
struct constants<double> {
    using uint = std::uint64_t;
    static constexpr int mantissa_bits = 52;
    static constexpr int bias = 1023;
    static constexpr uint sqrt_half = 0x3fe6a09e667f3bcd;
    static constexpr double exp_low = -708.5;
    static constexpr double exp_high = 709.9;

    static constexpr double ln2_high = 0.6931471805598903;
    static constexpr double ln2_low = 5.497923018708371e-14;
    static constexpr double atan_pivot = 1.6180339887494795;
    static constexpr double atan_angle = 1.0172219678977366;
    static constexpr double exp_terms[] = {  // relative error 4.1e-18
        2.0, 2.0, 1.0000000000000024, 0.33333333333332943, 0.08333333333303958,
        0.016666666666917348, 0.002777777789180586, 0.00039682539162281513, 4.9602982110732004e-05,
        5.511504347752044e-06, 5.526179448614509e-07, 5.004006052873412e-08};
    static constexpr double expm1_terms[] = {  // relative error 1.9e-17
        1.000000000000001, 0.6666666666666641, 0.33333333333259135, 0.13333333333410635,
        0.04444444458319989, 0.012698412630859463, 0.0031745925907899633, 0.0007054692598976231,
        0.00014144643589138122, 2.565968556343953e-05};
    static constexpr double atanh_terms[] = {  // relative error 1.3e-18
        0.6666666666666736, 0.3999999999940582, 0.2857142874394676, 0.22222198440384103,
        0.18183570238726599, 0.15313917988919654, 0.147971321055873};
    static constexpr double atan_terms[] = {  // relative error 4.3e-17
        -0.33333333333330556, 0.19999999999428608, -0.1428571424423906, 0.11111109584686753,
        -0.0909087574491397, 0.07691836225420381, -0.06662122756582022, 0.05851542245320213,
        -0.051135004468067555, 0.04236885953909514, -0.030156876942192146, 0.015549886713814416,
        -0.004137480325516379};
    static constexpr double sin_terms[] = {  // relative error 3.2e-17
        0.5707963267948967, -0.6459640975062485, 0.07969262624619672, -0.00468175413549386,
        0.00016044118532944997, -3.5988441613025057e-06, 5.692257044287077e-08,
        -6.691199435889453e-10, 6.0303303862849335e-12};
};

// 2^mantissa_bits, and the number that rounds by its addition: after t = x + round_shift<T>, the
// low bits of t hold x rounded to an integer, which t - round_shift<T> gives back as a T.
template <class T>
inline constexpr T unit_shift =
    static_cast<T>(static_cast<typename constants<T>::uint>(1) << constants<T>::mantissa_bits);
template <class T>
inline constexpr T round_shift = T(1.5) * unit_shift<T>;

template <class T>
inline constexpr typename constants<T>::uint sign_mask =
    static_cast<typename constants<T>::uint>(1) << (8 * sizeof(T) - 1);

template <class T>
ENFILT_INLINE uvec_t<T> bits(vec_t<T> x) {
    return bit_cast_vec<uvec_t<T>>(x);
}

template <class T>
ENFILT_INLINE vec_t<T> absolute(vec_t<T> x) {
    return bit_cast_vec<vec_t<T>>(bits<T>(x) & ~sign_mask<T>);
}

// x, whose sign bit is clear, with the sign of y.
template <class T>
ENFILT_INLINE vec_t<T> with_sign(vec_t<T> x, vec_t<T> y) {
    return bit_cast_vec<vec_t<T>>(bits<T>(x) | (bits<T>(y) & sign_mask<T>));
}

// v, of which the compiler no longer knows how it came about: given a constant, or the view of
// integers, in the selects below, GCC 12 compares and blends where one min or max would do.
template <class T>
ENFILT_INLINE vec_t<T> opaque(vec_t<T> v) {
#if defined(__x86_64__)
    __asm__("" : "+v"(v));
#endif
    return v;
}

// min(x, limit) and max(x, limit); NaN stays NaN.
template <class T>
ENFILT_INLINE vec_t<T> at_most(vec_t<T> x, T limit) {
    const vec_t<T> v = opaque<T>(broadcast(limit));
    return v < x ? v : x;
}

template <class T>
ENFILT_INLINE vec_t<T> at_least(vec_t<T> x, T limit) {
    const vec_t<T> v = opaque<T>(broadcast(limit));
    return v > x ? v : x;
}

// sum_k c[k] x^k by Horner's rule: the fewest instructions, and a loop over vectors hides latency.
template <class T, std::size_t N, std::size_t K = 0>
ENFILT_INLINE vec_t<T> polynomial(const T (&c)[N], vec_t<T> x) {
    if constexpr (K + 1 == N) {
        return broadcast(c[K]);
    } else {
        return polynomial<T, N, K + 1>(c, x) * x + c[K];
    }
}

template <class T>
inline constexpr T ln2 = T(0.693147180559945309417232121458176568);
template <class T>
inline constexpr T log2e = T(1.44269504088896340735992468100189214);

}  // namespace detail

// exp(x). Results below sqrt(2) times the least normal number flush to 0.
template <class T>
ENFILT_INLINE vec_t<T> exp(vec_t<T> x) {
    using C = detail::constants<T>;
    // exp(x) = 2^n exp(r), |r| <= ln(2)/2. t carries n + bias - 1 in its low bits, which shifted
    // into place are 2^(n-1): the polynomial stands for 2 exp(r), lest 2^128 (2^1024) be needed.
    constexpr T shift = detail::round_shift<T> + T(C::bias - 1);
    x = detail::at_least<T>(detail::at_most<T>(x, C::exp_high), C::exp_low);
    const vec_t<T> t = x * detail::log2e<T> + shift;
    const vec_t<T> n = t - shift;
    const vec_t<T> r = (x - n * C::ln2_high) - n * C::ln2_low;
    const vec_t<T> scale = bit_cast_vec<vec_t<T>>(detail::bits<T>(t) << C::mantissa_bits);
    return detail::polynomial(C::exp_terms, r) * scale;
}

namespace detail {

// log(x) for normal x above 0, less a power of two: `origin` is log_origin and its exponent.
template <class T>
ENFILT_INLINE vec_t<T> log_lifted(vec_t<T> x, vec_t<T> origin) {
    using C = constants<T>;
    constexpr typename C::uint one = static_cast<typename C::uint>(1);
    constexpr typename C::uint mantissa_mask = (one << C::mantissa_bits) - 1;
    constexpr typename C::uint bias_bits = static_cast<typename C::uint>(C::bias)
                                           << C::mantissa_bits;
    constexpr typename C::uint unit_bits =
        static_cast<typename C::uint>(C::bias + C::mantissa_bits) << C::mantissa_bits;

    // x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)). e + bias goes into the mantissa of
    // unit_shift to become a T (a 64-bit integer conversion would need AVX-512).
    const uvec_t<T> b = bits<T>(x) + (bias_bits - C::sqrt_half);
    const vec_t<T> e = bit_cast_vec<vec_t<T>>((b >> C::mantissa_bits) | unit_bits) - origin;
    const vec_t<T> f = bit_cast_vec<vec_t<T>>((b & mantissa_mask) + C::sqrt_half) - T(1);

    vec_t<T> r;
    if constexpr (std::is_same_v<T, float>) {
        r = f + f * f * polynomial(C::log_terms, f);
    } else {
        // With s = f/(2 + f), log(1 + f) = 2 atanh(s) and 2 s = f - s f: f is exact, and the error
        // of s counts only times f.
        const vec_t<T> s = f / (f + T(2));
        const vec_t<T> z = s * s;
        r = f - s * (f - z * polynomial(C::atanh_terms, z));
    }
    return e * ln2<T> + r;  // ln2 in one piece: its own error is far below half an ulp of r
}

// What log_lifted takes from e + bias in the mantissa of unit_shift.
template <class T>
inline constexpr T log_origin = unit_shift<T> + T(constants<T>::bias);

}  // namespace detail

// log(x) where x is known to be normal and above 0.
template <class T>
ENFILT_INLINE vec_t<T> log_of_normal(vec_t<T> x) {
    return detail::log_lifted<T>(x, broadcast(detail::log_origin<T>));
}

// log(x), subnormal x included.
template <class T>
ENFILT_INLINE vec_t<T> log(vec_t<T> x) {
    using limits = std::numeric_limits<T>;
    constexpr int lift_bits = detail::constants<T>::mantissa_bits + 1;
    constexpr T lift = T(2) * detail::unit_shift<T>;
    const ivec_t<T> tiny = x < limits::min();
    const vec_t<T> lifted = select<T>(tiny, x * lift, x);
    const vec_t<T> origin = select<T>(tiny, broadcast(detail::log_origin<T> + T(lift_bits)),
                                      broadcast(detail::log_origin<T>));
    vec_t<T> r = detail::log_lifted<T>(lifted, origin);

    const vec_t<T> no_log =
        select<T>(x == T(0), broadcast(-limits::infinity()), broadcast(limits::quiet_NaN()));
    r = select<T>(x < limits::infinity(), r, x);
    return select<T>(x > T(0), r, no_log);
}

// atan(x), the one that memory-bound kernels call most: one division, no blends.
template <class T>
ENFILT_INLINE vec_t<T> atan(vec_t<T> x) {
    using C = detail::constants<T>;
    // From |x| = 0.618 on, atan|x| = atan(c) + atan((|x| - c)/(1 + |x| c)), so that the polynomial
    // spans only |t| <= 0.618; below, c and atan(c) are masked to 0. With c the golden ratio both
    // parts end at |t| = 1/c, and as c - 1/c = 1, |x| - c is exact up to 2c. Of the numbers just
    // below that, c is the one whose atan(c) rounds best. The limit keeps infinity out of t.
    const vec_t<T> a = detail::at_most<T>(detail::opaque<T>(detail::absolute<T>(x)), T(1e30));
    const ivec_t<T> far = a > T(0.618033988749894848204586834365638118);
    const vec_t<T> c = select<T>(far, broadcast(C::atan_pivot), vec_t<T>{});
    const vec_t<T> angle = select<T>(far, broadcast(C::atan_angle), vec_t<T>{});
    const vec_t<T> t = (a - c) / (a * c + T(1));
    const vec_t<T> z = t * t;
    const vec_t<T> r = angle + (t + t * z * detail::polynomial(C::atan_terms, z));
    return detail::with_sign<T>(r, x);
}

// tanh(x), relatively accurate also near 0.
template <class T>
ENFILT_INLINE vec_t<T> tanh(vec_t<T> x) {
    using C = detail::constants<T>;
    // tanh(a) = h/(h + 1) with h = (exp(2a) - 1)/2 = 2^n g + (2^n - 1)/2, where
    // g = (exp(2r) - 1)/2 and 2r = 2a - n ln(2). At n = 0, h = g without cancellation; where n is
    // so large that n ln(2) in one piece is inexact, tanh is flat. It is 1 long before the limit.
    constexpr T shift = detail::round_shift<T> + T(C::bias);
    const vec_t<T> a = detail::at_most<T>(detail::opaque<T>(detail::absolute<T>(x)), T(40));
    const vec_t<T> t = a * (T(2) * detail::log2e<T>) + shift;
    const vec_t<T> n = t - shift;
    const vec_t<T> r = a - n * (T(0.5) * detail::ln2<T>);
    const vec_t<T> scale = bit_cast_vec<vec_t<T>>(detail::bits<T>(t) << C::mantissa_bits);
    const vec_t<T> g = r + r * r * detail::polynomial(C::expm1_terms, r);
    const vec_t<T> h = scale * g + (scale * T(0.5) - T(0.5));
    return detail::with_sign<T>(h / (h + T(1)), x);
}

// 1/(1 + exp(-x)). Subnormal results may flush to 0.
template <class T>
ENFILT_INLINE vec_t<T> sigmoid(vec_t<T> x) {
    return T(1) / (T(1) + exp<T>(-x));  // exp gives 0 or infinity at the far ends, both harmless
}

// s = sin(2 pi u), c = cos(2 pi u), u in turns: made for [0, 1], but the reduction is exact up to
// |u| = 2^20. Both are relatively accurate next to their zeros as well.
template <class T>
ENFILT_INLINE void sincos_turns(vec_t<T> u, vec_t<T>& s, vec_t<T>& c) {
    using C = detail::constants<T>;
    // 4 u = 2 n + r, exactly, |r| <= 1; n odd flips both signs. (The shift is twice the usual one,
    // so it rounds to even numbers.) The cosine is the sine of what is left to a quarter turn: one
    // polynomial serves both, and nothing is swapped.
    constexpr T shift = T(2) * detail::round_shift<T>;
    const vec_t<T> t = u * T(4) + shift;
    const vec_t<T> r = u * T(4) - (t - shift);
    const vec_t<T> q = T(1) - detail::absolute<T>(r);
    const uvec_t<T> flip = detail::bits<T>(t) << static_cast<int>(8 * sizeof(T) - 1);
    const vec_t<T> sin_r = r + r * detail::polynomial(C::sin_terms, vec_t<T>(r * r));
    const vec_t<T> sin_q = q + q * detail::polynomial(C::sin_terms, vec_t<T>(q * q));
    s = bit_cast_vec<vec_t<T>>(detail::bits<T>(sin_r) ^ flip);
    c = bit_cast_vec<vec_t<T>>(detail::bits<T>(sin_q) ^ flip);
}

// x^p for an integer p, by repeated squaring; x^0 = 1 for every x. The error grows as |p|/2 ulp,
// and a negative p takes the reciprocal last.
template <class T>
ENFILT_INLINE vec_t<T> pow_integer(vec_t<T> x, int p) {
    vec_t<T> r = broadcast(T(1));
    for (unsigned k = p < 0 ? 0U - static_cast<unsigned>(p) : static_cast<unsigned>(p);;) {
        if (k & 1U) r *= x;
        k >>= 1U;
        if (k == 0) break;
        x *= x;
    }
    return p < 0 ? T(1) / r : r;
}

namespace detail {

// a^p for a >= 0. At p = 0, the least p > 0 and the limit on the logarithm make a^0 = 1 also of
// infinity, without a branch.
ENFILT_INLINE vec_t<double> pow_positive(vec_t<double> a, double p) {
    const double power = p == 0 ? std::numeric_limits<double>::min() : p;
    return exp<double>(power * at_most<double>(log<double>(a), 1e280));
}

}  // namespace detail

// |x|^p sign(x) for a real, finite p. Zeros keep their sign; to a negative p they give an infinity
// of it, and to p = 0 themselves. In float64 the relative error is about 1e-15 (1 + |p log|x||);
// float32 is computed in float64 and correct but for the final rounding.
template <class T>
ENFILT_INLINE vec_t<T> pow_signed(vec_t<T> x, double p) {
    const vec_t<T> a = detail::absolute<T>(x);
    if constexpr (std::is_same_v<T, double>) {
        return detail::with_sign<T>(detail::pow_positive(a, p), x);
    } else {
        typedef float half __attribute__((vector_size(ENFILT_VECTOR_BYTES / 2)));
        half h[2];
        std::memcpy(h, &a, sizeof h);
        for (half& part : h) {
            const vec_t<double> wide = __builtin_convertvector(part, simd<double>::vec);
            part = __builtin_convertvector(detail::pow_positive(wide, p), half);
        }
        vec_t<float> r;
        std::memcpy(&r, h, sizeof r);
        return detail::with_sign<T>(r, x);
    }
}

ENFILT_CLOSE
