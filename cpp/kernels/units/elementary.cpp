// The elementary functions over arrays, for their own tests.
#include <enfilt/blocks.hpp>
#include <enfilt/vecmath.hpp>

#include <cstring>

ENFILT_OPEN

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

template bool elementary(const char* name, const float* x, index_t n, float* out);
template bool elementary(const char* name, const double* x, index_t n, double* out);

ENFILT_CLOSE
