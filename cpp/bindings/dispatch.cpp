#include "dispatch.hpp"

#include <cstring>
#include <stdexcept>

namespace enfilt::bindings {

namespace {
const Level* chosen = nullptr;
}

const Level& level() {
    if (!chosen) {
        int count = 0;
        const Level* const* levels = usable_levels(count);
        if (count == 0) throw std::runtime_error("enfilt was not built for this processor");
        chosen = levels[count - 1];
    }
    return *chosen;
}

bool use_level(const char* name) {
    int count = 0;
    const Level* const* levels = usable_levels(count);
    for (int k = 0; k < count; ++k) {
        if (std::strcmp(levels[k]->name, name) == 0) {
            chosen = levels[k];
            return true;
        }
    }
    return false;
}

}  // namespace enfilt::bindings
