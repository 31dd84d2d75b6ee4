// Plans: what components see, by the numbers that callers hold.
#pragma once

#include <enfilt/problem.hpp>

#include <cstdint>
#include <memory>
#include <vector>

#include "call.hpp"

namespace enfilt::c {

struct Lists {
    std::vector<std::int64_t> starts, indices, owners, components;
    std::vector<double> rho;

    PlaceLists view() const {
        PlaceLists p;
        p.count = static_cast<index_t>(starts.size()) - 1;
        p.starts = starts.data();
        p.indices = indices.data();
        p.rho = rho.data();
        if (!owners.empty()) {
            p.owners = owners.data();
            p.components = components.data();
        }
        return p;
    }
};

class Plan {
  public:
    std::int64_t dim = 0, size = 0;  // D, m; of a grid m is any

    // A window that all components share.
    bool is_grid = false, periodic = true;
    std::int64_t rows = 1, columns = 0;
    std::vector<std::int64_t> offsets;
    std::vector<double> rho;

    Lists of_state, between;  // of all m observations; between is empty where it was not given

    // The lists of the observations `seen` alone, which are kept for calls that see the same.
    const Lists& state_seen(const std::vector<std::int64_t>& seen);
    const Lists& between_seen(const std::vector<std::int64_t>& seen);

    // Where observations have places, what lists between them follow from; else null.
    std::unique_ptr<struct Nearness> nearness;
    bool used = false;

  private:
    struct Kept {
        std::vector<std::int64_t> seen;
        Lists lists;
        bool made = false;
    };
    Kept state_, between_;
};

// A plan for as long as one call uses it.
class InUse {
  public:
    explicit InUse(enfilt_plan plan);
    ~InUse();
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
    Plan* operator->() const { return plan_.get(); }
    Plan& operator*() const { return *plan_; }

  private:
    std::shared_ptr<Plan> plan_;
};

}  // namespace enfilt::c
