// The kernels of the level in use.
#pragma once

#include "../kernels/table.hpp"

namespace enfilt::bindings {

const Level& level();
// False where this library was not built for the level or the processor does not run it.
bool use_level(const char* name);

template <class T>
const Kernels<T>& kernels();
template <>
inline const Kernels<float>& kernels<float>() {
    return level().float32;
}
template <>
inline const Kernels<double>& kernels<double>() {
    return level().float64;
}

}  // namespace enfilt::bindings
