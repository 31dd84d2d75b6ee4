// Which levels were built. Compiled for any processor.
#include "table.hpp"

namespace enfilt {

extern const Level level_baseline, level_v2, level_v3, level_v4;

const Level* const* built_levels(int& count) {
    static const Level* const levels[] = {
#if defined(ENFILT_HAS_baseline)
        &level_baseline,
#endif
#if defined(ENFILT_HAS_v2)
        &level_v2,
#endif
#if defined(ENFILT_HAS_v3)
        &level_v3,
#endif
#if defined(ENFILT_HAS_v4)
        &level_v4,
#endif
    };
    count = static_cast<int>(sizeof levels / sizeof levels[0]);
    return levels;
}

}  // namespace enfilt
