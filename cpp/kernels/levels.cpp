// Which levels were built, and which of them this processor runs. Compiled for any processor.
#include "table.hpp"

namespace enfilt {

extern const Level level_baseline, level_v2, level_v3, level_v4;

namespace {

struct Found {
    const Level* levels[4] = {};
    int count = 0;

    Found() {
#if defined(ENFILT_HAS_baseline)
        levels[count++] = &level_baseline;
#endif
#if defined(ENFILT_HAS_v2)
        levels[count++] = &level_v2;
#endif
#if defined(ENFILT_HAS_v3) || defined(ENFILT_HAS_v4)
        __builtin_cpu_init();
        const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#endif
#if defined(ENFILT_HAS_v3)
        if (v3) levels[count++] = &level_v3;
#endif
#if defined(ENFILT_HAS_v4)
        if (v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"))
            levels[count++] = &level_v4;
#endif
    }
};

}  // namespace

const Level* const* usable_levels(int& count) {
    static const Found found;
    count = found.count;
    return found.levels;
}

}  // namespace enfilt
