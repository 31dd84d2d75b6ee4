#include "arrays.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
    m.doc() = "enfilt's compiled kernels. Internal: arguments are not checked here.";
    enfilt::bindings::register_config(m);
    enfilt::bindings::register_pairwise(m);
    enfilt::bindings::register_flow(m);
    enfilt::bindings::register_diffusion(m);
    enfilt::bindings::register_reduced(m);
    enfilt::bindings::register_inflation(m);
    enfilt::bindings::register_scores(m);
    enfilt::bindings::register_models(m);
    enfilt::bindings::register_letkf(m);
    enfilt::bindings::register_lenff(m);
    enfilt::bindings::register_neighbours(m);
    enfilt::bindings::register_share(m);
}
