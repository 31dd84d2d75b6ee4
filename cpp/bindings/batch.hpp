// The ensembles of a batch, shared out to the threads.
#pragma once

#include <enfilt/problem.hpp>
#include <omp.h>

#include <exception>

namespace enfilt::bindings {

// Small ensembles of a batch go to a thread each; a large one is shared out by its kernel.
template <class Body>
void for_each_ensemble(index_t count, index_t dim, Body&& body) {
    std::exception_ptr failure;
#pragma omp parallel for schedule(static) if (count > 1 && dim <= 8192)
    for (index_t b = 0; b < count; ++b) {
        try {
            body(b);
        } catch (...) {
#pragma omp critical(enfilt_batch_failure)
            failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace enfilt::bindings
