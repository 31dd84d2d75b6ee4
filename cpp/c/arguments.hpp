// Arguments of enfilt.h, checked, as kernels take them.
#pragma once

#include <enfilt/problem.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "call.hpp"

namespace enfilt::c {

template <class T>
struct Structures;
template <>
struct Structures<double> {
    using Ensemble = enfilt_ensemble_f64;
    using Observations = enfilt_observations_f64;
};
template <>
struct Structures<float> {
    using Ensemble = enfilt_ensemble_f32;
    using Observations = enfilt_observations_f32;
};
template <class T>
using EnsembleOf = typename Structures<T>::Ensemble;
template <class T>
using ObservationsOf = typename Structures<T>::Observations;

// More members are none of an ensemble: their squares are numbers.
constexpr std::int64_t most_members = std::int64_t{1} << 24;

inline long long shown(std::int64_t n) { return static_cast<long long>(n); }

// Bytes of so many rows of numbers, where an address space holds them.
inline std::int64_t checked_bytes(const char* name, std::int64_t rows, std::int64_t columns,
                                  std::size_t each) {
    std::int64_t count, bytes;
    if (__builtin_mul_overflow(rows, columns, &count) ||
        __builtin_mul_overflow(count, static_cast<std::int64_t>(each), &bytes) ||
        bytes > PTRDIFF_MAX / 64)
        fail(ENFILT_ERROR_ARGUMENT, "%s: %lld x %lld numbers are more than any memory holds", name,
             shown(rows), shown(columns));
    return bytes;
}

template <class N>
void check_pointer(const char* name, const N* data) {
    if (!data) fail(ENFILT_ERROR_ARGUMENT, "%s is null", name);
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(N) != 0)
        fail(ENFILT_ERROR_ARGUMENT, "%s is not aligned to its %zu bytes a number", name, sizeof(N));
}

template <class T>
void check_finite(const char* name, const T* data, std::int64_t rows, std::int64_t columns,
                  int code = ENFILT_ERROR_NOT_FINITE) {
    if (kernels<T>().all_finite(data, rows * columns)) return;
    std::int64_t k = 0;
    while (std::isfinite(data[k])) ++k;
    fail(code, "%s[%lld, %lld] is %g: expected finite numbers%s", name, shown(k / columns),
         shown(k % columns), static_cast<double>(data[k]),
         code == ENFILT_ERROR_OVERFLOW ? ", as all that was given is finite" : "");
}

template <class T>
void check_ensemble(const char* name, const EnsembleOf<T>* e, std::int64_t least = 2) {
    if (!e) fail(ENFILT_ERROR_ARGUMENT, "%s is null", name);
    if (e->members < least || e->members > most_members)
        fail(ENFILT_ERROR_ARGUMENT, "%s has %lld members: expected from %lld to %lld", name,
             shown(e->members), shown(least), shown(most_members));
    if (e->dim < 1)
        fail(ENFILT_ERROR_ARGUMENT, "%s has %lld components: expected at least 1", name,
             shown(e->dim));
    if (e->stride != 0 && e->stride != e->dim)
        fail(ENFILT_ERROR_ARGUMENT,
             "%s has a stride of %lld: expected %lld, its components, or 0: rows without gaps", name,
             shown(e->stride), shown(e->dim));
    checked_bytes(name, e->members, e->dim, sizeof(T));
    check_pointer(name, e->data);
    check_finite(name, e->data, e->members, e->dim);
}

inline void check_apart(const char* name, const void* data, std::int64_t bytes, const char* other,
                        const void* out, std::int64_t out_bytes) {
    const auto a = reinterpret_cast<std::uintptr_t>(data), b = reinterpret_cast<std::uintptr_t>(out);
    if (data && a < b + static_cast<std::uintptr_t>(out_bytes) &&
        b < a + static_cast<std::uintptr_t>(bytes))
        fail(ENFILT_ERROR_ARGUMENT, "%s overlaps %s: expected other memory", other, name);
}

// A result as large as an ensemble, that overlaps none.
template <class T>
void check_result_memory(const char* name, const T* out, std::int64_t rows, std::int64_t columns,
                         const char* of, const EnsembleOf<T>& e) {
    check_pointer(name, out);
    const auto each = static_cast<std::int64_t>(sizeof(T));
    check_apart(of, e.data, e.members * e.dim * each, name, out, rows * columns * each);
}

// Numbers beside an ensemble, or none.
template <class T>
void check_optional(const char* name, const T* data, std::int64_t rows, std::int64_t columns,
                    const T* out, std::int64_t out_size) {
    if (!data) return;
    const std::int64_t bytes = checked_bytes(name, rows, columns, sizeof(T));
    check_pointer(name, data);
    check_finite(name, data, rows, columns);
    check_apart(name, data, bytes, "analysis", out, out_size * static_cast<std::int64_t>(sizeof(T)));
}

inline void check_number(const char* name, double value, bool fits, const char* expected) {
    if (!std::isfinite(value) || !fits)
        fail(ENFILT_ERROR_ARGUMENT, "%s=%g: expected %s", name, value, expected);
}

inline void check_choice(const char* name, int value, int last) {
    if (value < 0 || value > last)
        fail(ENFILT_ERROR_ARGUMENT, "%s=%d: expected one of its names, 0 to %d", name, value, last);
}

inline void check_steps(std::int64_t steps, std::int64_t least = 1) {
    const std::int64_t most = std::int64_t{1} << (least > 0 ? 24 : 40);  // of a filter, or of a model
    if (steps < least || steps > most)
        fail(ENFILT_ERROR_ARGUMENT, "steps=%lld: expected from %lld to %lld", shown(steps),
             shown(least), shown(most));
}

// The caller's options, or the default ones.
template <class Options>
Options options_of(const Options* given, void (*init)(Options*)) {
    Options options;
    init(&options);
    if (!given) return options;
    if (given->size != sizeof(Options))
        fail(ENFILT_ERROR_ARGUMENT,
             "options->size is %zu: expected %zu, as the function that ends in _init leaves it",
             given->size, sizeof(Options));
    return *given;
}

// Sums over all processes by a caller's allreduce, for kernels that work on a part.
class Sums {
  public:
    // The part begins at component `first` of `whole`.
    Sums(enfilt_allreduce function, void* context, std::int64_t first, std::int64_t whole)
        : function_(function), context_(context) {
        share_.first = first;
        share_.whole = whole;
        share_.context = this;
        share_.add = [](void* self, double* sums, double* lost, index_t n) {
            static_cast<Sums*>(self)->add(sums, lost, n);
        };
    }
    Sums(const Sums&) = delete;
    Sums& operator=(const Sums&) = delete;

    double total(double own) const {
        if (function_) function_(&own, 1, context_);
        return own;
    }
    // Calls kernels whose sums are those of all processes.
    template <class Body>
    void over(Body&& body) const {
        const auto run = [](void* self) { (*static_cast<Body*>(self))(); };
        level().interruptible(nullptr, function_ ? &share_ : nullptr, run, &body);
    }

  private:
    enfilt_allreduce function_;
    void* context_;
    Share share_;
    std::vector<double> both_;

    void add(double* sums, double* lost, index_t n) {
        both_.assign(sums, sums + n);
        both_.insert(both_.end(), lost, lost + n);
        function_(both_.data(), 2 * n, context_);
        std::copy_n(both_.begin(), n, sums);
        std::copy_n(both_.begin() + n, n, lost);
    }
};

// Where a part of a state is in the whole of it.
inline void check_part(enfilt_allreduce function, std::int64_t first, std::int64_t whole,
                       std::int64_t dim) {
    std::int64_t end;
    if (!function && first == 0 && whole == 0) return;
    if (first < 0 || __builtin_add_overflow(first, dim, &end) || end > whole)
        fail(ENFILT_ERROR_ARGUMENT,
             "options->first_component=%lld, whole=%lld: expected %lld components from the first one "
             "on to be among those of the whole",
             shown(first), shown(whole), shown(dim));
    if (!function)
        fail(ENFILT_ERROR_ARGUMENT, "options->allreduce is null beside first_component and whole");
}

// Observations of an ensemble (members, dim), checked.
template <class T>
struct Observing {
    const ObservationsOf<T>& given;
    std::vector<double> exact;  // 1/r^2, (m,) or one
    std::vector<T> precision;
    std::int64_t seen = 0;      // how many hold a value

    Observing(const ObservationsOf<T>* o, const EnsembleOf<T>& e, const T* out, bool may_be_empty)
        : given(checked(o)) {
        if (o->size < (may_be_empty ? 0 : 1))
            fail(ENFILT_ERROR_ARGUMENT, "observations->size is %lld: expected at least %d",
                 shown(o->size), may_be_empty ? 0 : 1);
        if (o->std_size != 1 && o->std_size != o->size)
            fail(ENFILT_ERROR_ARGUMENT, "observations->std_size is %lld: expected 1 or %lld",
                 shown(o->std_size), shown(o->size));
        check_choice("observations->function", o->function, ENFILT_POWER_REAL);
        check_number("observations->parameter", o->parameter, true, "a finite number");
        const std::int64_t result = e.members * e.dim * static_cast<std::int64_t>(sizeof(T));
        take_errors(o->std, o->std_size);
        if (o->size == 0) return;
        const std::int64_t bytes = checked_bytes("observations->y", o->size, 1, sizeof(T));
        check_pointer("observations->y", o->y);
        check_apart("observations->y", o->y, bytes, "analysis", out, result);
        for (std::int64_t k = 0; k < o->size; ++k) {
            if (std::isinf(o->y[k]))
                fail(ENFILT_ERROR_NOT_FINITE, "observations->y[%lld] is %g: expected a number or NaN",
                     shown(k), static_cast<double>(o->y[k]));
            seen += o->y[k] == o->y[k];
        }
        if (o->values)
            check_optional("observations->values", o->values, e.members, o->size, out,
                           e.members * e.dim);
        else
            check_components(e.dim);
    }

    // What kernels evaluate of the state itself.
    Observed<T> of_state() const {
        Observed<T> view = base();
        view.kind = static_cast<Pointwise>(given.function);
        view.parameter = given.parameter;
        view.offset = given.components ? 0 : given.offset;
        view.stride = given.components ? 1 : given.stride;
        view.indices = given.components;
        return view;
    }

    // The same of values (N, m) in the place of a state.
    Observed<T> of_values() const { return base(); }

    void need_function(const char* why) const {
        if (given.values)
            fail(ENFILT_ERROR_ARGUMENT, "observations->values: %s needs h itself: expected null", why);
    }

    std::int64_t component(std::int64_t k) const {
        return given.components ? given.components[k] : given.offset + k * given.stride;
    }

  private:
    static const ObservationsOf<T>& checked(const ObservationsOf<T>* o) {
        if (!o) fail(ENFILT_ERROR_ARGUMENT, "observations is null");
        return *o;
    }

    Observed<T> base() const {
        Observed<T> view;
        view.size = given.size;
        view.y = given.y;
        view.precision = precision.data();
        view.precision_varies = precision.size() > 1;
        return view;
    }

    void take_errors(const double* std, std::int64_t count) {
        checked_bytes("observations->std", count, 1, sizeof(double));
        check_pointer("observations->std", std);
        exact.reserve(static_cast<std::size_t>(count));
        precision.reserve(static_cast<std::size_t>(count));
        for (std::int64_t k = 0; k < count; ++k) {
            if (!(std[k] > 0) || std::isinf(std[k]))
                fail(ENFILT_ERROR_ARGUMENT,
                     "observations->std[%lld] is %g: expected finite numbers above zero", shown(k),
                     std[k]);
            exact.push_back(1.0 / (std[k] * std[k]));
            precision.push_back(static_cast<T>(exact.back()));
            if (!std::isfinite(precision.back()))
                fail(ENFILT_ERROR_OVERFLOW,
                     "observations->std[%lld] is %g: 1/std^2 is too large for the ensemble's numbers",
                     shown(k), std[k]);
        }
    }

    void check_components(std::int64_t dim) const {
        const std::int64_t m = given.size;
        if (!given.components) {
            std::int64_t last;
            if (given.offset < 0 || given.stride < 1 ||
                __builtin_mul_overflow(m - 1, given.stride, &last) ||
                __builtin_add_overflow(last, given.offset, &last) || last >= dim)
                fail(ENFILT_ERROR_ARGUMENT,
                     "observations: %lld components from offset %lld on with stride %lld are not "
                     "among %lld",
                     shown(m), shown(given.offset), shown(given.stride), shown(dim));
            return;
        }
        check_pointer("observations->components", given.components);
        std::int64_t before = -1;
        for (std::int64_t k = 0; k < m; ++k) {
            const std::int64_t c = given.components[k];
            if (c <= before || c >= dim)
                fail(ENFILT_ERROR_ARGUMENT,
                     "observations->components[%lld] is %lld: expected numbers from 0 to %lld that "
                     "increase",
                     shown(k), shown(c), shown(dim - 1));
            before = c;
        }
    }
};

template <class T>
void copy_ensemble(const EnsembleOf<T>& from, T* to) {
    std::memcpy(to, from.data, static_cast<std::size_t>(from.members * from.dim) * sizeof(T));
}

inline void check_inflation(std::int32_t kind, double amount) {
    check_choice("inflation", kind, ENFILT_INFLATION_RTPS);
    if (kind == ENFILT_INFLATION_MULTIPLICATIVE)
        check_number("inflation_amount", amount, amount > 0, "a number above zero");
    else if (kind != ENFILT_INFLATION_NONE)
        check_number("inflation_amount", amount, amount >= 0 && amount <= 1, "a number from 0 to 1");
}

// Widens an analysis, and looks whether it is finite.
template <class T>
void finish(std::int32_t kind, double amount, const EnsembleOf<T>& forecast, T* analysis) {
    if (kind != ENFILT_INFLATION_NONE) {
        const T size = static_cast<T>(kind == ENFILT_INFLATION_MULTIPLICATIVE ? amount - 1 : amount);
        if (size != 0) {
            InflationProblem<T> p;
            p.members = forecast.members;
            p.dim = forecast.dim;
            p.kind = kind == ENFILT_INFLATION_MULTIPLICATIVE ? Inflate::multiplicative
                     : kind == ENFILT_INFLATION_RTPP         ? Inflate::rtpp
                                                             : Inflate::rtps;
            p.x = analysis;
            p.forecast = p.kind == Inflate::multiplicative ? nullptr : forecast.data;
            p.amount = &size;
            p.out = analysis;
            kernels<T>().inflate(p);
        }
    }
    check_finite("analysis", analysis, forecast.members, forecast.dim, ENFILT_ERROR_OVERFLOW);
}

}  // namespace enfilt::c
