// Compiled once for each instruction set (ENFILT_LEVEL names it): the kernels' instances and the
// table that holds them. Nothing in here may run before the table is chosen.
#include <enfilt/enfilt.hpp>

#include <cstring>

#include "table.hpp"

ENFILT_OPEN

template <class T>
void normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
             index_t dim, T* out) {
    constexpr index_t piece = 1 << 14;
    const index_t pieces = (dim + piece - 1) / piece;
#pragma omp parallel for schedule(static) if (members * dim > 16384)
    for (index_t task = 0; task < members * pieces; ++task) {
        const index_t member = task / pieces, first = task % pieces * piece;
        philox_normals({key, batch, step}, static_cast<std::uint32_t>(member), first,
                       dim - first < piece ? dim - first : piece, out + member * dim + first);
    }
}

template <class T, class Function>
void map(Function&& f, const T* x, index_t n, T* out) {
    constexpr index_t lanes = Blocks<T>::lanes;
    for (index_t i = 0; i < n; i += lanes) {
        const vec_t<T> y = f(load_up_to(x + i, n - i));
        store_up_to(out + i, y, n - i);
    }
}

template <class T>
bool elementary(const char* name, const T* x, index_t n, T* out) {
    const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
    if (is("exp")) {
        map([](vec_t<T> v) { return exp<T>(v); }, x, n, out);
    } else if (is("log")) {
        map([](vec_t<T> v) { return log<T>(v); }, x, n, out);
    } else if (is("atan")) {
        map([](vec_t<T> v) { return atan<T>(v); }, x, n, out);
    } else if (is("tanh")) {
        map([](vec_t<T> v) { return tanh<T>(v); }, x, n, out);
    } else if (is("sigmoid")) {
        map([](vec_t<T> v) { return sigmoid<T>(v); }, x, n, out);
    } else if (is("sin_turns") || is("cos_turns")) {
        const bool sine = is("sin_turns");
        map(
            [sine](vec_t<T> v) {
                vec_t<T> s, c;
                sincos_turns<T>(v, s, c);
                return sine ? s : c;
            },
            x, n, out);
    } else {
        return false;
    }
    return true;
}

template <class T>
constexpr Kernels<T> kernels = {
    squared_distances<T>,  pairwise_field<T>, flow_analysis<T>,
    diffusion_analysis<T>, reduced_analysis<T>,
    misfit<T>,             anomaly_grams<T>,
    ensemble_scores<T>,    lorenz96<T>,       navier_stokes<T>,
    letkf_window<T>,       letkf_lists<T>,    lenff_window<T>,
    lenff_lists<T>,        normals<T>,        all_finite<T>,
    triad<T>,              elementary<T>};

ENFILT_CLOSE

#define ENFILT_TEXT_(x) #x
#define ENFILT_TEXT(x) ENFILT_TEXT_(x)
#define ENFILT_JOIN_(a, b) a##b
#define ENFILT_JOIN(a, b) ENFILT_JOIN_(a, b)

namespace enfilt {

extern const Level ENFILT_JOIN(level_, ENFILT_LEVEL);
const Level ENFILT_JOIN(level_, ENFILT_LEVEL) = {ENFILT_TEXT(ENFILT_LEVEL), ENFILT_VECTOR_BYTES,
                                                 kernels<float>, kernels<double>};

}  // namespace enfilt
