// The kernels of the level in use.
#pragma once

#include <string>
#include <vector>

#include "table.hpp"

namespace enfilt {

// The names of the levels that were built and that this processor runs, lowest first.
std::vector<std::string> usable_levels();
// What the code of a level asks of the processor, by the names of the compiler's options.
std::vector<std::string> needs_of_level(const std::string& name);
// Chooses the best level; called once, before any kernel is. Throws where there is none.
void choose_level();
// False where this library was not built for the level or the processor does not run it.
bool use_level(const std::string& name);
const Level& level();

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

}  // namespace enfilt
