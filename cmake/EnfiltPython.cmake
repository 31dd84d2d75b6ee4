# The Python module.
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 CONFIG REQUIRED)
pybind11_add_module(
  _core
  NO_EXTRAS
  ${kernels}
  cpp/bindings/module.cpp
  cpp/bindings/bind_config.cpp
  cpp/bindings/bind_pairwise.cpp
  cpp/bindings/bind_flow.cpp
  cpp/bindings/bind_diffusion.cpp
  cpp/bindings/bind_reduced.cpp
  cpp/bindings/bind_inflation.cpp
  cpp/bindings/bind_scores.cpp
  cpp/bindings/bind_letkf.cpp
  cpp/bindings/bind_lenff.cpp
  cpp/bindings/bind_neighbours.cpp
  cpp/bindings/bind_share.cpp
  cpp/bindings/bind_models.cpp)
target_link_libraries(_core PRIVATE enfilt_options)
# pybind11's headers take longer to compile than all that is bound here, so that is done once
set_target_properties(_core PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
target_compile_definitions(
  _core PRIVATE ENFILT_VERSION="${PROJECT_VERSION}"
                ENFILT_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
install(TARGETS _core DESTINATION enfilt)

include(cmake/EnfiltCuda.cmake)
enfilt_choose_cuda(ENFILT_CUDA_FOUND)
if(ENFILT_CUDA_FOUND)
  enable_language(CUDA)
endif()
if(ENFILT_CUDA_FOUND OR ENFILT_CUDA_HOST_TESTS)
  add_subdirectory(cuda)
endif()
