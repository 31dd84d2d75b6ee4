// (I + S)^(-1/2) a and (I + S)^(-1) a for symmetric positive semidefinite S of any order, one
// problem a SIMD lane.
//
// An analysis in ensemble space needs no eigenvectors, only these two vectors. S = Q T Q^T by
// Householder reflections; then the root of the tridiagonal I + T is a sum of its shifted
// inverses,
//
//     B^(-1/2) = sum_k weight_k (B + shift_k I)^(-1),
//
// the integral (2/pi) int_0^inf (t^2 + B)^(-1) dt by the midpoint rule after the substitution
// t = sc(u | k') (Hale, Higham, Trefethen 2008, "Computing A^alpha, log(A), and related matrix
// functions by contour integrals", section 4). It converges like exp(-2 pi^2 n / log(16 kappa))
// for eigenvalues in [1, kappa], and every term is one tridiagonal solve without pivoting. The
// eigenvalues of I + S are never below 1, so a bound from above is all that must be found out,
// no lane waits for the convergence of another, and the root is as accurate *relatively* for
// every eigenvalue.
#pragma once

#include <cmath>
#include <initializer_list>
#include <type_traits>

#include "blocks.hpp"
#include "root_poles.hpp"

ENFILT_OPEN

// Shifts and weights for eigenvalues in [1, 2^c], c = 1, 2, ...
template <class T>
class RootPoles {
  public:
    static constexpr index_t tile = 4;  // poles solved for together; the count is even

    struct Set {
        index_t count;
        T shift[80], weight[80];
    };

    static const Set& within(double kappa) {
        static const RootPoles all;
        int exponent = 1;
        std::frexp(kappa, &exponent);
        return all.sets_[exponent < 1 ? 0 : (exponent > classes ? classes : exponent) - 1];
    }

  private:
    // Beyond 2^52 the condition number exceeds what float64 resolves.
    static constexpr int classes = 52;
    Set sets_[classes];

    RootPoles() {
        for (int c = 0; c < classes; ++c) fill(std::ldexp(1.0, c + 1), sets_[c]);
    }

    static void fill(double kappa, Set& set) {
        const double accuracy = sizeof(T) == sizeof(float) ? 2e-8 : 5e-17;
        for (index_t j = 0; j < 80; ++j) set.shift[j] = set.weight[j] = T(0);
        set.count = round_up(root_poles(kappa, accuracy, set.shift, set.weight), 2);
    }
};

// `lanes` problems of order n; entry (k, j) of all of them is one vector of its arrays.
template <class T>
class InverseRoot {
  public:
    static constexpr index_t lanes = static_cast<index_t>(simd<T>::lanes);

    static index_t scratch(index_t n) { return (n * n + (5 + 2 * tile) * n) * lanes; }

    // memory: scratch(n) numbers on a cache line
    InverseRoot(index_t n, T* memory) : n_(n), s_(memory) {
        T* next = memory + n * n * lanes;
        for (T** part : {&a_, &diagonal_, &beside_, &reflector_, &product_}) {
            *part = next;
            next += n * lanes;
        }
        reduced_ = next;
        factor_ = next + tile * n * lanes;
    }

    // Entry (k, j), k <= j, of S: to be filled before reduce(), which overwrites it.
    T* entry(index_t k, index_t j) const { return s_ + (k * n_ + j) * lanes; }
    // Entry of a: to be filled before each solve(), which overwrites it.
    T* vector(index_t k) const { return a_ + k * lanes; }

    // S -> Q^T S Q tridiagonal; the diagonal gets the 1 of I + S.
    void reduce() const {
        for (index_t i = 0; i + 2 < n_; ++i) {
            if (n_ > 64) check_interrupt();
            T* v = entry(i, 0);
            const vec_t<T> tail = dot(v, v, i + 2);
            const vec_t<T> head = at(v, i + 1);
            const vec_t<T> square = tail + head * head;
            const vec_t<T> length = sqrt<T>(square);
            const vec_t<T> alpha = select<T>(head > T(0), -length, length);
            const vec_t<T> h = square - alpha * head;
            const ivec_t<T> reflects = tail > negligible;
            put(beside_, i, select<T>(reflects, alpha, head));
            put(reflector_, i, select<T>(reflects, T(1) / h, vec_t<T>{}));
            put(v, i + 1, head - alpha);
            update_trailing(i);
        }
        if (n_ > 1) put(beside_, n_ - 2, load(entry(n_ - 2, n_ - 1)));
        for (index_t k = 0; k < n_; ++k) put(diagonal_, k, T(1) + load(entry(k, k)));
    }

    // root <- (I + S)^(-1/2) a, inverse <- (I + S)^(-1) a, n vectors each; for one a after another
    // behind one reduce().
    void solve(T* root, T* inverse) const {
        static constexpr T none[1] = {T(0)}, one[1] = {T(1)};
        clear(root);
        clear(inverse);
        for (index_t i = 0; i + 2 < n_; ++i) reflect(i, a_);
        const auto& poles = RootPoles<T>::within(bound());
        index_t k = 0;
        for (; k + tile <= poles.count; k += tile)
            add_shifted<tile>(poles.shift + k, poles.weight + k, root);
        if (k < poles.count) add_shifted<2>(poles.shift + k, poles.weight + k, root);
        add_shifted<1>(none, one, inverse);
        for (index_t i = n_ - 3; i >= 0; --i) {
            reflect(i, root);
            reflect(i, inverse);
        }
    }

  private:
    static constexpr index_t tile = RootPoles<T>::tile;
    // Sums of squares below this are of entries far under the last bit of I + S.
    static constexpr T negligible = sizeof(T) == sizeof(float) ? T(1e-24) : T(1e-60);

    index_t n_;
    T *s_, *a_, *diagonal_, *beside_, *reflector_, *product_, *reduced_, *factor_;

    static ENFILT_INLINE vec_t<T> at(const T* p, index_t k) { return load(p + k * lanes); }
    static ENFILT_INLINE void put(T* p, index_t k, vec_t<T> v) { store(p + k * lanes, v); }

    void clear(T* p) const {
        for (index_t k = 0; k < n_; ++k) put(p, k, vec_t<T>{});
    }

    // sum_j a_j b_j from j on, in four sums: the chain of additions is what a step waits for
    ENFILT_INLINE vec_t<T> dot(const T* a, const T* b, index_t j) const {
        const index_t n = n_;
        vec_t<T> sum[4] = {};
        for (; j + 4 <= n; j += 4)
            for (index_t k = 0; k < 4; ++k) sum[k] += at(a, j + k) * at(b, j + k);
        if (j < n) sum[0] += at(a, j) * at(b, j);
        if (j + 1 < n) sum[1] += at(a, j + 1) * at(b, j + 1);
        if (j + 2 < n) sum[2] += at(a, j + 2) * at(b, j + 2);
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    // x <- (I - v v^T / h) x with reflector i, which stands in row i of S behind its diagonal.
    ENFILT_INLINE void reflect(index_t i, T* x) const {
        const T* v = entry(i, 0);
        const vec_t<T> along = at(reflector_, i) * dot(v, x, i + 1);
        for (index_t j = i + 1, n = n_; j < n; ++j) put(x, j, at(x, j) - along * at(v, j));
    }

    // S -> (I - v v^T / h) S (I - v v^T / h) on the rows and columns behind i.
    ENFILT_INLINE void update_trailing(index_t i) const {
        const index_t n = n_;
        const T* v = entry(i, 0);
        T* p = product_;
        const vec_t<T> over_h = at(reflector_, i);
        for (index_t j = i + 1; j < n; ++j) put(p, j, vec_t<T>{});
        for_each_tile(i + 1, [&](auto rows, index_t k) { multiply<rows>(k, v, p); });
        const vec_t<T> along = T(0.5) * over_h * (over_h * dot(v, p, i + 1));
        for (index_t j = i + 1; j < n; ++j) put(p, j, over_h * at(p, j) - along * at(v, j));
        for_each_tile(i + 1, [&](auto rows, index_t k) { subtract<rows>(k, v, p); });
    }

    // Four rows at a time: the loops over columns are short, and fewer of them are mispredicted.
    template <class Body>
    ENFILT_INLINE void for_each_tile(index_t k, Body&& body) const {
        for (; k + 4 <= n_; k += 4) body(std::integral_constant<index_t, 4>{}, k);
        switch (n_ - k) {
            case 3: return body(std::integral_constant<index_t, 3>{}, k);
            case 2: return body(std::integral_constant<index_t, 2>{}, k);
            case 1: return body(std::integral_constant<index_t, 1>{}, k);
            default: return;
        }
    }

    // p += S v, the part of R rows of the upper triangle and of the columns below them.
    template <index_t R>
    ENFILT_INLINE void multiply(index_t k, const T* v, T* p) const {
        const index_t n = n_;
        const T* row[R];
        vec_t<T> left[R], sum[R];
        for (index_t r = 0; r < R; ++r) {
            row[r] = entry(k + r, 0);
            left[r] = at(v, k + r);
            sum[r] = at(p, k + r);
        }
        for (index_t r = 0; r < R; ++r) {
            sum[r] += at(row[r], k + r) * left[r];
            for (index_t c = r + 1; c < R; ++c) {
                const vec_t<T> s = at(row[r], k + c);
                sum[r] += s * left[c];
                sum[c] += s * left[r];
            }
        }
        for (index_t j = k + R; j < n; ++j) {
            const vec_t<T> right = at(v, j);
            vec_t<T> below = at(p, j);
            for (index_t r = 0; r < R; ++r) {
                const vec_t<T> s = at(row[r], j);
                sum[r] += s * right;
                below += s * left[r];
            }
            put(p, j, below);
        }
        for (index_t r = 0; r < R; ++r) put(p, k + r, sum[r]);
    }

    // S -= v p^T + p v^T, R rows of the upper triangle.
    template <index_t R>
    ENFILT_INLINE void subtract(index_t k, const T* v, const T* p) const {
        const index_t n = n_;
        T* row[R];
        vec_t<T> v_row[R], p_row[R];
        for (index_t r = 0; r < R; ++r) {
            row[r] = entry(k + r, 0);
            v_row[r] = at(v, k + r);
            p_row[r] = at(p, k + r);
        }
        for (index_t r = 0; r < R; ++r)
            for (index_t c = r; c < R; ++c)
                put(row[r], k + c, at(row[r], k + c) - v_row[r] * p_row[c] - p_row[r] * v_row[c]);
        for (index_t j = k + R; j < n; ++j) {
            const vec_t<T> vj = at(v, j), pj = at(p, j);
            for (index_t r = 0; r < R; ++r)
                put(row[r], j, at(row[r], j) - v_row[r] * pj - p_row[r] * vj);
        }
    }

    // The largest eigenvalue of I + S is at most this, by Gershgorin's discs, in any lane.
    double bound() const {
        vec_t<T> largest = {}, before = {};
        for (index_t k = 0; k < n_; ++k) {
            const vec_t<T> next = k + 1 < n_ ? at(beside_, k) : vec_t<T>{};
            const vec_t<T> size = select<T>(next < T(0), -next, next);
            const vec_t<T> reach = at(diagonal_, k) + size + before;
            largest = select<T>(reach > largest, reach, largest);
            before = size;
        }
        double result = 1;
        for (index_t l = 0; l < lanes; ++l) {
            const double reach = static_cast<double>(largest[static_cast<std::size_t>(l)]);
            if (reach > result) result = reach;
        }
        return result;
    }

    // x_p <- 1 / x_p with one division for all. Pivots lie between 1 and some 10^4 kappa: the
    // product of four stays within float32 up to kappa = 10^5, within float64 always.
    static ENFILT_INLINE void invert(vec_t<T> (&x)[1]) { x[0] = T(1) / x[0]; }
    static ENFILT_INLINE void invert(vec_t<T> (&x)[2]) {
        const vec_t<T> over = T(1) / (x[0] * x[1]), first = x[0];
        x[0] = over * x[1];
        x[1] = over * first;
    }
    static ENFILT_INLINE void invert(vec_t<T> (&x)[4]) {
        vec_t<T> pair[2] = {x[0] * x[1], x[2] * x[3]};
        invert(pair);
        for (index_t p = 0; p < 4; p += 2) {
            const vec_t<T> first = x[p];
            x[p] = pair[p / 2] * x[p + 1];
            x[p + 1] = pair[p / 2] * first;
        }
    }

    // to += sum_p weight_p (I + T + shift_p I)^(-1) a, P chains side by side.
    template <index_t P>
    ENFILT_INLINE void add_shifted(const T* shift, const T* weight, T* to) const {
        vec_t<T> ratio[P] = {}, value[P] = {}, beside = {};
        for (index_t k = 0; k < n_; ++k) {
            const vec_t<T> next = k + 1 < n_ ? at(beside_, k) : vec_t<T>{};
            const vec_t<T> d = at(diagonal_, k), a = at(a_, k);
            vec_t<T> pivot[P];
            for (index_t p = 0; p < P; ++p) pivot[p] = (d + shift[p]) - ratio[p] * beside;
            invert(pivot);
            for (index_t p = 0; p < P; ++p) {
                value[p] = a - ratio[p] * value[p];
                ratio[p] = next * pivot[p];
                put(reduced_, k * P + p, value[p] * pivot[p]);
                put(factor_, k * P + p, ratio[p]);
            }
            beside = next;
        }
        for (index_t p = 0; p < P; ++p) value[p] = vec_t<T>{};
        for (index_t k = n_ - 1; k >= 0; --k) {
            vec_t<T> sum = at(to, k);
            for (index_t p = 0; p < P; ++p) {
                value[p] = at(reduced_, k * P + p) - at(factor_, k * P + p) * value[p];
                sum += weight[p] * value[p];
            }
            put(to, k, sum);
        }
    }
};

ENFILT_CLOSE
