#include "dispatch.hpp"

#include <atomic>
#include <stdexcept>

#include "processor.hpp"

namespace enfilt {

namespace {

std::atomic<const Level*> chosen{nullptr};

std::vector<const Level*> built() {
    int count = 0;
    const Level* const* levels = built_levels(count);
    return {levels, levels + count};
}

std::vector<const Level*> usable() {
    const std::uint32_t present = processor_features();
    std::vector<const Level*> found;
    for (const Level* one : built())
        if ((one->needs & ~present) == 0) found.push_back(one);
    return found;
}

}  // namespace

std::vector<std::string> usable_levels() {
    std::vector<std::string> names;
    for (const Level* one : usable()) names.emplace_back(one->name);
    return names;
}

std::vector<std::string> needs_of_level(const std::string& name) {
    std::vector<std::string> names;
    for (const Level* one : built())
        for (std::uint32_t bit = 1; bit != 0 && name == one->name; bit <<= 1)
            if (one->needs & bit) names.emplace_back(feature_name(bit));
    return names;
}

void choose_level() {
    const auto levels = usable();
    if (levels.empty()) {
        std::string missing;
        const std::uint32_t present = processor_features();
        for (std::uint32_t bit = 1; bit != 0; bit <<= 1)
            if (built().front()->needs & ~present & bit)
                missing += std::string(missing.empty() ? "" : ", ") + feature_name(bit);
        throw std::runtime_error("enfilt was built for a processor with " + missing);
    }
    chosen = levels.back();
}

bool use_level(const std::string& name) {
    for (const Level* one : usable()) {
        if (name == one->name) {
            chosen = one;
            return true;
        }
    }
    return false;
}

const Level& level() { return *chosen.load(std::memory_order_relaxed); }

}  // namespace enfilt
