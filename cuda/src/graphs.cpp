#include <enfilt_cuda/graphs.hpp>

#include <algorithm>

namespace enfilt::cuda {

std::vector<Graphs::Kept>::iterator Graphs::find(const std::vector<Launch>& launches) {
    return std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
        return std::equal(kept.launches.begin(), kept.launches.end(), launches.begin(),
                          launches.end(),
                          [](const Launch& a, const Launch& b) { return a.has_shape_of(b); });
    });
}

void Graphs::start(std::vector<Launch> launches, std::uintptr_t stream) {
    const auto one_by_one = [&] {
        for (const Launch& launch : launches) cuda::start(launch, stream);
    };
    if (launches.size() < fewest_kernels) return one_by_one();
    const std::lock_guard lock(mutex_);
    const auto found = find(launches);
    if (found == kept_.end()) {
        one_by_one();
        if (kept_.size() == most) kept_.erase(kept_.begin());
        kept_.push_back({std::move(launches), nullptr});
        return;
    }
    std::rotate(found, found + 1, kept_.end());
    Kept& kept = kept_.back();
    try {
        if (!kept.graph) {
            kept.graph = std::make_unique<Executable>(launches);
            ++counts_.built;
        } else {
            for (std::size_t k = 0; k < launches.size(); ++k) {
                if (kept.launches[k].body == launches[k].body) continue;
                kept.graph->change(k, launches[k]);
                ++counts_.changed;
            }
        }
        kept.graph->start(stream);
        ++counts_.started;
    } catch (...) {  // a graph that is half changed is none
        kept.graph.reset();
        throw;
    }
    kept.launches = std::move(launches);
}

Graphs::Counts Graphs::counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
}

}  // namespace enfilt::cuda
