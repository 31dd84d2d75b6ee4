// Which levels were built, and which of them this processor runs. Compiled for any processor.
#include "table.hpp"

namespace enfilt {

#if defined(__x86_64__)
extern const Level level_v2, level_v3, level_v4;

const Level* const* usable_levels(int& count) {
    static const Level* const levels[] = {&level_v2, &level_v3, &level_v4};
    __builtin_cpu_init();
    count = 1;
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (v3) count = v4 ? 3 : 2;
    return levels;
}
#else
extern const Level level_baseline;

const Level* const* usable_levels(int& count) {
    static const Level* const levels[] = {&level_baseline};
    count = 1;
    return levels;
}
#endif

}  // namespace enfilt
