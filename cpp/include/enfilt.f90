! enfilt's filters for Fortran, through the C library: enfilt.h says what each call does.
!
! An ensemble is ens(dim, N), a member a column: in memory the (N, D) of C and Python. Reals are real32
! or real64, all of a call alike; standard deviations and log-weights are real64. Numbers of components,
! observations and places count from 1. What has no contiguous memory (a section with a stride) is
! copied by the compiler, as for any argument that is contiguous.
!
! Subroutines return 0 in `status`, or the code of an error, of which enfilt_error() tells; an array of
! another shape than is expected counts as null there, and noise of another shape as no analysis.
module enfilt
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: real32, real64, int32, int64
  implicit none
  private

  public :: enfilt_error, enfilt_simd
  public :: enfilt_enff, enfilt_ensf, enfilt_etkf, enfilt_letkf, enfilt_lenff, enfilt_inflate
  public :: enfilt_lorenz96, enfilt_flow_field, enfilt_mixture_score, enfilt_pairwise_log_weights
  public :: enfilt_normals
  public :: enfilt_plan_grid, enfilt_plan_places, enfilt_plan_lists, enfilt_plan_destroy
  public :: enfilt_enff_options_init, enfilt_ensf_options_init, enfilt_etkf_options_init
  public :: enfilt_lenff_options_init

  integer(c_int32_t), parameter, public :: enfilt_ok = 0, enfilt_error_argument = 1, &
    enfilt_error_not_finite = 2, enfilt_error_overflow = 3, enfilt_error_memory = 4, &
    enfilt_error_plan = 5, enfilt_error_busy = 6, enfilt_error_processor = 7, enfilt_error_internal = 8
  integer(c_int32_t), parameter, public :: enfilt_identity = 0, enfilt_arctan = 1, enfilt_tanh = 2, &
    enfilt_sigmoid = 3, enfilt_power_integer = 4, enfilt_power_real = 5
  integer(c_int32_t), parameter, public :: enfilt_inflation_none = 0, &
    enfilt_inflation_multiplicative = 1, enfilt_inflation_rtpp = 2, enfilt_inflation_rtps = 3
  integer(c_int32_t), parameter, public :: enfilt_path_f2p = 0, enfilt_path_ot = 1, enfilt_path_ve = 2
  integer(c_int32_t), parameter, public :: enfilt_guidance_none = 0, enfilt_guidance_local = 1, &
    enfilt_guidance_monte_carlo = 2, enfilt_guidance_covariance = 3
  integer(c_int32_t), parameter, public :: enfilt_euler = 0, enfilt_heun = 1
  integer(c_int32_t), parameter, public :: enfilt_ode = 0, enfilt_sde = 1
  integer(c_int32_t), parameter, public :: enfilt_mixture = 0, enfilt_paired = 1
  integer(c_int32_t), parameter, public :: enfilt_algorithm_auto = 0, &
    enfilt_algorithm_streaming = 1, enfilt_algorithm_reduced = 2
  integer(c_int32_t), parameter, public :: enfilt_gaspari_cohn = 0, enfilt_step = 1

  type, bind(C), public :: enfilt_plan
    integer(c_int64_t) :: id = 0
  end type

  type, bind(C), public :: enfilt_taper
    real(c_double) :: cutoff = 0
    integer(c_int32_t) :: shape = 0, reserved = 0
  end type

  type, bind(C), public :: enfilt_enff_options
    integer(c_size_t) :: size
    integer(c_int32_t) :: path, guidance, sampler, algorithm
    integer(c_int64_t) :: steps
    real(c_double) :: sigma_min, strength
    integer(c_int64_t) :: key, first_component, whole  ! of a part: how many components are before it
    type(c_funptr) :: allreduce
    type(c_ptr) :: context
    real(c_double) :: inflation_amount
    integer(c_int32_t) :: inflation, reserved
  end type

  type, bind(C), public :: enfilt_ensf_options
    integer(c_size_t) :: size
    integer(c_int32_t) :: score, sampler, algorithm, standardize_start
    integer(c_int64_t) :: steps
    real(c_double) :: eps_alpha, eps_beta, score_limit
    integer(c_int64_t) :: key, first_component, whole
    type(c_funptr) :: allreduce
    type(c_ptr) :: context
    real(c_double) :: inflation_amount
    integer(c_int32_t) :: inflation, reserved
  end type

  type, bind(C), public :: enfilt_etkf_options
    integer(c_size_t) :: size
    type(c_ptr) :: rotation
    type(c_funptr) :: allreduce
    type(c_ptr) :: context
    real(c_double) :: inflation_amount
    integer(c_int32_t) :: inflation, reserved
  end type

  type, bind(C), public :: enfilt_lenff_options
    integer(c_size_t) :: size
    integer(c_int64_t) :: steps
    real(c_double) :: growth, inflation_amount
    integer(c_int32_t) :: inflation, reserved
  end type

  type, bind(C) :: ensemble_c
    type(c_ptr) :: data
    integer(c_int64_t) :: members, dim, stride
  end type

  type, bind(C) :: observations_c
    integer(c_int64_t) :: size
    type(c_ptr) :: y, std
    integer(c_int64_t) :: std_size
    type(c_ptr) :: values, components
    integer(c_int64_t) :: offset, stride
    real(c_double) :: parameter
    integer(c_int32_t) :: function, reserved
  end type

  type, bind(C) :: places_c
    integer(c_int64_t) :: axes
    type(c_ptr) :: period
    integer(c_int64_t) :: count
    type(c_ptr) :: places
    integer(c_int64_t) :: dim
    type(c_ptr) :: place
    integer(c_int64_t) :: size
    type(c_ptr) :: observations
  end type

  type, bind(C) :: lists_c
    integer(c_int64_t) :: count
    type(c_ptr) :: starts, indices, rho
  end type

  interface
    subroutine enfilt_enff_options_init(options) bind(C)
      import :: enfilt_enff_options
      type(enfilt_enff_options), intent(out) :: options
    end subroutine
    subroutine enfilt_ensf_options_init(options) bind(C)
      import :: enfilt_ensf_options
      type(enfilt_ensf_options), intent(out) :: options
    end subroutine
    subroutine enfilt_etkf_options_init(options) bind(C)
      import :: enfilt_etkf_options
      type(enfilt_etkf_options), intent(out) :: options
    end subroutine
    subroutine enfilt_lenff_options_init(options) bind(C)
      import :: enfilt_lenff_options
      type(enfilt_lenff_options), intent(out) :: options
    end subroutine
    function c_last_error() bind(C, name="enfilt_last_error") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function
    function c_simd() bind(C, name="enfilt_simd") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function
    function c_strlen(text) bind(C, name="strlen") result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function
    function c_plan_grid(rows, columns, periodic, spacing, taper, plan) &
        bind(C, name="enfilt_plan_grid") result(status)
      import :: c_int64_t, c_int, c_double, enfilt_taper, enfilt_plan
      integer(c_int64_t), value :: rows, columns
      integer(c_int), value :: periodic
      real(c_double), value :: spacing
      type(enfilt_taper), intent(in) :: taper
      type(enfilt_plan), intent(inout) :: plan
      integer(c_int) :: status
    end function
    function c_plan_places(places, taper, plan) bind(C, name="enfilt_plan_places") result(status)
      import :: c_int, places_c, enfilt_taper, enfilt_plan
      type(places_c), intent(in) :: places
      type(enfilt_taper), intent(in) :: taper
      type(enfilt_plan), intent(inout) :: plan
      integer(c_int) :: status
    end function
    function c_plan_lists(lists, dim, place, size, between, plan) &
        bind(C, name="enfilt_plan_lists") result(status)
      import :: c_int64_t, c_int, c_ptr, lists_c, enfilt_plan
      type(lists_c), intent(in) :: lists
      integer(c_int64_t), value :: dim, size
      type(c_ptr), value :: place, between
      type(enfilt_plan), intent(inout) :: plan
      integer(c_int) :: status
    end function
    function c_plan_destroy(plan) bind(C, name="enfilt_plan_destroy") result(status)
      import :: c_int, enfilt_plan
      type(enfilt_plan), value :: plan
      integer(c_int) :: status
    end function
    function c_enff_f64(forecast, previous, observations, options, noise, start, analysis) &
        bind(C, name="enfilt_enff_f64") result(status)
      import
      type(ensemble_c), intent(in) :: forecast
      type(c_ptr), value :: previous
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: noise
      type(c_ptr), value :: start
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_enff_f32(forecast, previous, observations, options, noise, start, analysis) &
        bind(C, name="enfilt_enff_f32") result(status)
      import
      type(ensemble_c), intent(in) :: forecast
      type(c_ptr), value :: previous
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: noise
      type(c_ptr), value :: start
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_ensf_f64(forecast, observations, options, noise, analysis) &
        bind(C, name="enfilt_ensf_f64") result(status)
      import
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: noise
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_ensf_f32(forecast, observations, options, noise, analysis) &
        bind(C, name="enfilt_ensf_f32") result(status)
      import
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: noise
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_etkf_f64(forecast, observations, options, analysis) &
        bind(C, name="enfilt_etkf_f64") result(status)
      import
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_etkf_f32(forecast, observations, options, analysis) &
        bind(C, name="enfilt_etkf_f32") result(status)
      import
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_letkf_f64(plan, forecast, observations, options, analysis) &
        bind(C, name="enfilt_letkf_f64") result(status)
      import
      type(enfilt_plan), value :: plan
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_letkf_f32(plan, forecast, observations, options, analysis) &
        bind(C, name="enfilt_letkf_f32") result(status)
      import
      type(enfilt_plan), value :: plan
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_lenff_f64(plan, forecast, observations, options, analysis) &
        bind(C, name="enfilt_lenff_f64") result(status)
      import
      type(enfilt_plan), value :: plan
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_lenff_f32(plan, forecast, observations, options, analysis) &
        bind(C, name="enfilt_lenff_f32") result(status)
      import
      type(enfilt_plan), value :: plan
      type(ensemble_c), intent(in) :: forecast
      type(observations_c), intent(in) :: observations
      type(c_ptr), value :: options
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_inflate_f64(inflation, amount, forecast, analysis) &
        bind(C, name="enfilt_inflate_f64") result(status)
      import
      integer(c_int32_t), value :: inflation
      real(c_double), value :: amount
      type(ensemble_c), intent(in) :: forecast
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_inflate_f32(inflation, amount, forecast, analysis) &
        bind(C, name="enfilt_inflate_f32") result(status)
      import
      integer(c_int32_t), value :: inflation
      real(c_double), value :: amount
      type(ensemble_c), intent(in) :: forecast
      type(c_ptr), value :: analysis
      integer(c_int) :: status
    end function
    function c_lorenz96_f64(ensemble, dt, steps, forcing, out) &
        bind(C, name="enfilt_lorenz96_f64") result(status)
      import
      type(ensemble_c), intent(in) :: ensemble
      real(c_double), value :: dt
      integer(c_int64_t), value :: steps
      real(c_double), value :: forcing
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_lorenz96_f32(ensemble, dt, steps, forcing, out) &
        bind(C, name="enfilt_lorenz96_f32") result(status)
      import
      type(ensemble_c), intent(in) :: ensemble
      real(c_double), value :: dt
      integer(c_int64_t), value :: steps
      real(c_double), value :: forcing
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_flow_field_f64(x, forecast, previous, path, sigma_min, t, log_weights, out) &
        bind(C, name="enfilt_flow_field_f64") result(status)
      import
      type(ensemble_c), intent(in) :: x
      type(ensemble_c), intent(in) :: forecast
      type(c_ptr), value :: previous
      integer(c_int32_t), value :: path
      real(c_double), value :: sigma_min
      real(c_double), value :: t
      type(c_ptr), value :: log_weights
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_flow_field_f32(x, forecast, previous, path, sigma_min, t, log_weights, out) &
        bind(C, name="enfilt_flow_field_f32") result(status)
      import
      type(ensemble_c), intent(in) :: x
      type(ensemble_c), intent(in) :: forecast
      type(c_ptr), value :: previous
      integer(c_int32_t), value :: path
      real(c_double), value :: sigma_min
      real(c_double), value :: t
      type(c_ptr), value :: log_weights
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_mixture_score_f64(x, centers, scale, std, log_weights, out) &
        bind(C, name="enfilt_mixture_score_f64") result(status)
      import
      type(ensemble_c), intent(in) :: x
      type(ensemble_c), intent(in) :: centers
      real(c_double), value :: scale
      real(c_double), value :: std
      type(c_ptr), value :: log_weights
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_mixture_score_f32(x, centers, scale, std, log_weights, out) &
        bind(C, name="enfilt_mixture_score_f32") result(status)
      import
      type(ensemble_c), intent(in) :: x
      type(ensemble_c), intent(in) :: centers
      real(c_double), value :: scale
      real(c_double), value :: std
      type(c_ptr), value :: log_weights
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_pairwise_log_weights_f64(x, centers, scale, std, out) &
        bind(C, name="enfilt_pairwise_log_weights_f64") result(status)
      import
      type(ensemble_c), intent(in) :: x
      type(ensemble_c), intent(in) :: centers
      real(c_double), value :: scale
      real(c_double), value :: std
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_pairwise_log_weights_f32(x, centers, scale, std, out) &
        bind(C, name="enfilt_pairwise_log_weights_f32") result(status)
      import
      type(ensemble_c), intent(in) :: x
      type(ensemble_c), intent(in) :: centers
      real(c_double), value :: scale
      real(c_double), value :: std
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_normals_f64(key, step, members, dim, out) &
        bind(C, name="enfilt_normals_f64") result(status)
      import
      integer(c_int64_t), value :: key
      integer(c_int32_t), value :: step
      integer(c_int64_t), value :: members
      integer(c_int64_t), value :: dim
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
    function c_normals_f32(key, step, members, dim, out) &
        bind(C, name="enfilt_normals_f32") result(status)
      import
      integer(c_int64_t), value :: key
      integer(c_int32_t), value :: step
      integer(c_int64_t), value :: members
      integer(c_int64_t), value :: dim
      type(c_ptr), value :: out
      integer(c_int) :: status
    end function
  end interface

  interface enfilt_enff
    module procedure enff_f64, enff_f32
  end interface
  interface enfilt_ensf
    module procedure ensf_f64, ensf_f32
  end interface
  interface enfilt_etkf
    module procedure etkf_f64, etkf_f32
  end interface
  interface enfilt_letkf
    module procedure letkf_f64, letkf_f32
  end interface
  interface enfilt_lenff
    module procedure lenff_f64, lenff_f32
  end interface
  interface enfilt_inflate
    module procedure inflate_f64, inflate_f32
  end interface
  interface enfilt_lorenz96
    module procedure lorenz96_f64, lorenz96_f32
  end interface
  interface enfilt_flow_field
    module procedure flow_field_f64, flow_field_f32
  end interface
  interface enfilt_mixture_score
    module procedure mixture_score_f64, mixture_score_f32
  end interface
  interface enfilt_pairwise_log_weights
    module procedure pairwise_log_weights_f64, pairwise_log_weights_f32
  end interface
  interface enfilt_normals
    module procedure normals_f64, normals_f32
  end interface

contains

  function text_of(text) result(found)
    type(c_ptr), intent(in) :: text
    character(:), allocatable :: found
    character(kind=c_char), pointer :: letters(:)
    integer :: k
    call c_f_pointer(text, letters, [c_strlen(text)])
    allocate (character(size(letters)) :: found)
    do k = 1, size(letters)
      found(k:k) = letters(k)
    end do
  end function

  ! What the last call of this thread that failed says.
  function enfilt_error() result(message)
    character(:), allocatable :: message
    message = text_of(c_last_error())
  end function

  ! The instruction set in use, such as "v3".
  function enfilt_simd() result(name)
    character(:), allocatable :: name
    name = text_of(c_simd())
  end function

  ! rows x columns = dim components, those of a row one behind the other: ens(columns, rows, N).
  subroutine enfilt_plan_grid(rows, columns, periodic, spacing, taper, plan, status)
    integer, intent(in) :: rows, columns
    logical, intent(in) :: periodic
    real(real64), intent(in) :: spacing
    type(enfilt_taper), intent(in) :: taper
    type(enfilt_plan), intent(out) :: plan
    integer, intent(out) :: status
    status = c_plan_grid(int(rows, c_int64_t), int(columns, c_int64_t), merge(1_c_int, 0_c_int, &
      periodic), &
                         spacing, taper, plan)
  end subroutine

  ! places(axes, count) of the state, observations(axes, m); component d stands at place(d).
  subroutine enfilt_plan_places(places, observations, taper, plan, status, place, period)
    real(real64), intent(in), contiguous, target :: places(:, :), observations(:, :)
    type(enfilt_taper), intent(in) :: taper
    type(enfilt_plan), intent(out) :: plan
    integer, intent(out) :: status
    integer, intent(in), optional :: place(:)
    real(real64), intent(in), contiguous, target, optional :: period(:)
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(places_c) :: all
    all = places_c(size(places, 1), c_null_ptr, size(places, 2), c_loc(places), size(places, 2), &
                   c_null_ptr, size(observations, 2), c_loc(observations))
    if (size(observations, 1) /= size(places, 1)) all%size = -1
    if (present(period)) then
      if (size(period) == size(places, 1)) then
        all%period = c_loc(period)
      else
        all%axes = -1
      end if
    end if
    if (present(place)) then
      allocate (from_zero, source=int(place, c_int64_t) - 1)
      all%place = c_loc(from_zero)
      all%dim = size(place)
    end if
    status = c_plan_places(all, taper, plan)
  end subroutine

  ! Place i sees observations indices(starts(i) : starts(i + 1) - 1), with the weights rho of the same.
  ! `between_...` are such lists of the observations themselves, for the LEnFF.
  subroutine enfilt_plan_lists(starts, indices, rho, dim, observations, plan, status, place, &
                               between_starts, between_indices, between_rho)
    integer, intent(in) :: starts(:), indices(:), dim, observations
    real(real64), intent(in), contiguous, target :: rho(:)
    type(enfilt_plan), intent(out) :: plan
    integer, intent(out) :: status
    integer, intent(in), optional :: place(:), between_starts(:), between_indices(:)
    real(real64), intent(in), contiguous, target, optional :: between_rho(:)
    integer(c_int64_t), allocatable, target :: begins(:), numbers(:), from_zero(:)
    integer(c_int64_t), allocatable, target :: between_begins(:), between_numbers(:)
    type(lists_c) :: lists
    type(lists_c), target :: others
    type(c_ptr) :: at, between
    at = c_null_ptr
    between = c_null_ptr
    allocate (begins, source=int(starts, c_int64_t) - 1)
    allocate (numbers, source=int(indices, c_int64_t) - 1)
    lists = lists_c(size(starts) - 1, c_loc(begins), c_loc(numbers), c_loc(rho))
    if (present(place)) then
      allocate (from_zero, source=int(place, c_int64_t) - 1)
      at = c_loc(from_zero)
    end if
    if (present(between_starts) .and. present(between_indices) .and. present(between_rho)) then
      allocate (between_begins, source=int(between_starts, c_int64_t) - 1)
      allocate (between_numbers, source=int(between_indices, c_int64_t) - 1)
      others = lists_c(size(between_starts) - 1, c_loc(between_begins), c_loc(between_numbers), &
                       c_loc(between_rho))
      between = c_loc(others)
    end if
    status = c_plan_lists(lists, int(dim, c_int64_t), at, int(observations, c_int64_t), between, plan)
  end subroutine

  subroutine enfilt_plan_destroy(plan, status)
    type(enfilt_plan), intent(in) :: plan
    integer, intent(out) :: status
    status = c_plan_destroy(plan)
  end subroutine

  ! Observations as C has them; sizes that do not fit become such as C refuses.
  function observations_of(m, members, y, std, count, values, shape_of_values, components, from_zero, &
                           function, parameter) result(o)
    integer, intent(in) :: m, members, count, shape_of_values(2)
    type(c_ptr), intent(in) :: y, std, values
    integer, intent(in), optional :: components(:), function
    integer(c_int64_t), allocatable, target, intent(out) :: from_zero(:)
    real(real64), intent(in), optional :: parameter
    type(observations_c) :: o
    o = observations_c(m, y, std, count, values, c_null_ptr, 0, 1, 0.0_c_double, enfilt_identity, 0)
    if (present(function)) o%function = int(function, c_int32_t)
    if (present(parameter)) o%parameter = parameter
    if (c_associated(values) .and. any(shape_of_values /= [m, members])) o%size = -1
    if (present(components)) then
      allocate (from_zero, source=int(components, c_int64_t) - 1)
      o%components = c_loc(from_zero)
      if (size(components) /= m) o%size = -1
    end if
  end function

  function ensemble_of(at, sizes) result(e)
    type(c_ptr), intent(in) :: at
    integer(c_int64_t), intent(in) :: sizes(2)
    type(ensemble_c) :: e
    e = ensemble_c(at, sizes(2), sizes(1), 0)
  end function

  ! Where an array begins, or null where its shape is not what is wanted; then a result beside it is
  ! null, too, so that C refuses the call.
  function result_of(at, found, wanted, beside) result(out)
    type(c_ptr), intent(in) :: at
    integer, intent(in) :: found(:), wanted(:)
    type(c_ptr), intent(inout), optional :: beside
    type(c_ptr) :: out
    out = c_null_ptr
    if (all(found == wanted)) then
      out = at
    else if (present(beside)) then
      beside = c_null_ptr
    end if
  end function

  subroutine enff_f64(forecast, y, std, analysis, status, values, components, function, parameter, &
                      previous, options, noise, start)
    real(real64), intent(in), contiguous, target :: forecast(:, :)
    real(real64), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real64), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    real(real64), intent(in), contiguous, target, optional :: previous(:, :), noise(:, :)
    type(enfilt_enff_options), intent(in), target, optional :: options
    integer, intent(in), optional :: start(:)
    integer(c_int64_t), allocatable, target :: rows(:)
    type(c_ptr) :: before, normals, first, to
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    before = c_null_ptr
    normals = c_null_ptr
    first = c_null_ptr
    if (present(previous)) before = result_of(c_loc(previous), shape(previous), shape(forecast))
    to = result_of(c_loc(analysis), shape(analysis), shape(forecast))
    if (present(noise)) normals = result_of(c_loc(noise), shape(noise), shape(forecast), to)
    if (present(start)) then
      allocate (rows, source=int(start, c_int64_t) - 1)
      first = c_loc(rows)
    end if
    status = c_enff_f64(ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), before, &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, normals, first, to)
  end subroutine

  ! noise(dim, N, steps + 1), or (dim, N, 1) of enfilt_ode.
  subroutine ensf_f64(forecast, y, std, analysis, status, values, components, function, parameter, &
                      options, noise)
    real(real64), intent(in), contiguous, target :: forecast(:, :)
    real(real64), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real64), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_ensf_options), intent(in), target, optional :: options
    real(real64), intent(in), contiguous, target, optional :: noise(:, :, :)
    type(c_ptr) :: normals, to
    integer :: steps
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    normals = c_null_ptr
    to = result_of(c_loc(analysis), shape(analysis), shape(forecast))
    if (present(noise)) then
      steps = 1
      if (.not. present(options)) steps = 100
      if (present(options)) then
        if (options%sampler == enfilt_sde) steps = int(options%steps) + 1
      end if
      normals = result_of(c_loc(noise), shape(noise), [shape(forecast), steps], to)
    end if
    status = c_ensf_f64(ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, normals, to)
  end subroutine

  subroutine etkf_f64(forecast, y, std, analysis, status, values, components, function, parameter, &
                      options)
    real(real64), intent(in), contiguous, target :: forecast(:, :)
    real(real64), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real64), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_etkf_options), intent(in), target, optional :: options
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    status = c_etkf_f64(ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  subroutine letkf_f64(plan, forecast, y, std, analysis, status, values, components, function, &
      parameter, &
                       options)
    type(enfilt_plan), intent(in) :: plan
    real(real64), intent(in), contiguous, target :: forecast(:, :)
    real(real64), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real64), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_etkf_options), intent(in), target, optional :: options
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    status = c_letkf_f64(plan, ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  subroutine lenff_f64(plan, forecast, y, std, analysis, status, values, components, function, &
      parameter, &
                       options)
    type(enfilt_plan), intent(in) :: plan
    real(real64), intent(in), contiguous, target :: forecast(:, :)
    real(real64), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real64), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_lenff_options), intent(in), target, optional :: options
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    status = c_lenff_f64(plan, ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  subroutine inflate_f64(inflation, amount, forecast, analysis, status)
    integer, intent(in) :: inflation
    real(real64), intent(in) :: amount
    real(real64), intent(in), contiguous, target :: forecast(:, :)
    real(real64), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    status = c_inflate_f64(int(inflation, c_int32_t), amount, ensemble_of(c_loc(forecast), &
      shape(forecast, c_int64_t)), &
      result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  ! In place.
  subroutine lorenz96_f64(ensemble, dt, steps, forcing, status)
    real(real64), intent(inout), contiguous, target :: ensemble(:, :)
    real(real64), intent(in) :: dt, forcing
    integer, intent(in) :: steps
    integer, intent(out) :: status
    status = c_lorenz96_f64(ensemble_of(c_loc(ensemble), shape(ensemble, c_int64_t)), dt, &
      int(steps, c_int64_t), forcing, c_loc(ensemble))
  end subroutine

  subroutine flow_field_f64(x, forecast, path, sigma_min, t, out, status, previous, log_weights)
    real(real64), intent(in), contiguous, target :: x(:, :), forecast(:, :)
    integer, intent(in) :: path
    real(real64), intent(in) :: sigma_min, t
    real(real64), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: previous(:, :)
    real(real64), intent(in), contiguous, target, optional :: log_weights(:)
    type(c_ptr) :: before, weights
    before = c_null_ptr
    weights = c_null_ptr
    if (present(previous)) before = result_of(c_loc(previous), shape(previous), shape(forecast))
    if (present(log_weights)) weights = c_loc(log_weights)
    status = c_flow_field_f64(ensemble_of(c_loc(x), shape(x, c_int64_t)), &
      ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      before, int(path, c_int32_t), sigma_min, t, weights, result_of(c_loc(out), shape(out), shape(x)))
  end subroutine

  subroutine mixture_score_f64(x, centers, scale, std, out, status, log_weights)
    real(real64), intent(in), contiguous, target :: x(:, :), centers(:, :)
    real(real64), intent(in) :: scale, std
    real(real64), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: log_weights(:)
    type(c_ptr) :: weights
    weights = c_null_ptr
    if (present(log_weights)) weights = c_loc(log_weights)
    status = c_mixture_score_f64(ensemble_of(c_loc(x), shape(x, c_int64_t)), &
      ensemble_of(c_loc(centers), shape(centers, c_int64_t)), &
      scale, std, weights, result_of(c_loc(out), shape(out), shape(x)))
  end subroutine

  ! out(N, M)
  subroutine pairwise_log_weights_f64(x, centers, scale, std, out, status)
    real(real64), intent(in), contiguous, target :: x(:, :), centers(:, :)
    real(real64), intent(in) :: scale, std
    real(real64), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    status = c_pairwise_log_weights_f64(ensemble_of(c_loc(x), shape(x, c_int64_t)), &
      ensemble_of(c_loc(centers), shape(centers, c_int64_t)), &
      scale, std, result_of(c_loc(out), shape(out), [size(centers, 2), size(x, 2)]))
  end subroutine

  subroutine normals_f64(key, step, out, status)
    integer(int64), intent(in) :: key
    integer, intent(in) :: step
    real(real64), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    status = c_normals_f64(key, int(step, c_int32_t), size(out, 2, c_int64_t), size(out, 1, c_int64_t), &
      c_loc(out))
  end subroutine

  subroutine enff_f32(forecast, y, std, analysis, status, values, components, function, parameter, &
                      previous, options, noise, start)
    real(real32), intent(in), contiguous, target :: forecast(:, :)
    real(real32), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real32), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real32), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    real(real32), intent(in), contiguous, target, optional :: previous(:, :), noise(:, :)
    type(enfilt_enff_options), intent(in), target, optional :: options
    integer, intent(in), optional :: start(:)
    integer(c_int64_t), allocatable, target :: rows(:)
    type(c_ptr) :: before, normals, first, to
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    before = c_null_ptr
    normals = c_null_ptr
    first = c_null_ptr
    if (present(previous)) before = result_of(c_loc(previous), shape(previous), shape(forecast))
    to = result_of(c_loc(analysis), shape(analysis), shape(forecast))
    if (present(noise)) normals = result_of(c_loc(noise), shape(noise), shape(forecast), to)
    if (present(start)) then
      allocate (rows, source=int(start, c_int64_t) - 1)
      first = c_loc(rows)
    end if
    status = c_enff_f32(ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), before, &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, normals, first, to)
  end subroutine

  ! noise(dim, N, steps + 1), or (dim, N, 1) of enfilt_ode.
  subroutine ensf_f32(forecast, y, std, analysis, status, values, components, function, parameter, &
                      options, noise)
    real(real32), intent(in), contiguous, target :: forecast(:, :)
    real(real32), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real32), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real32), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_ensf_options), intent(in), target, optional :: options
    real(real32), intent(in), contiguous, target, optional :: noise(:, :, :)
    type(c_ptr) :: normals, to
    integer :: steps
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    normals = c_null_ptr
    to = result_of(c_loc(analysis), shape(analysis), shape(forecast))
    if (present(noise)) then
      steps = 1
      if (.not. present(options)) steps = 100
      if (present(options)) then
        if (options%sampler == enfilt_sde) steps = int(options%steps) + 1
      end if
      normals = result_of(c_loc(noise), shape(noise), [shape(forecast), steps], to)
    end if
    status = c_ensf_f32(ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, normals, to)
  end subroutine

  subroutine etkf_f32(forecast, y, std, analysis, status, values, components, function, parameter, &
                      options)
    real(real32), intent(in), contiguous, target :: forecast(:, :)
    real(real32), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real32), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real32), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_etkf_options), intent(in), target, optional :: options
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    status = c_etkf_f32(ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  subroutine letkf_f32(plan, forecast, y, std, analysis, status, values, components, function, &
      parameter, &
                       options)
    type(enfilt_plan), intent(in) :: plan
    real(real32), intent(in), contiguous, target :: forecast(:, :)
    real(real32), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real32), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real32), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_etkf_options), intent(in), target, optional :: options
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    status = c_letkf_f32(plan, ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  subroutine lenff_f32(plan, forecast, y, std, analysis, status, values, components, function, &
      parameter, &
                       options)
    type(enfilt_plan), intent(in) :: plan
    real(real32), intent(in), contiguous, target :: forecast(:, :)
    real(real32), intent(in), contiguous, target :: y(:)
    real(real64), intent(in), contiguous, target :: std(:)
    real(real32), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    real(real32), intent(in), contiguous, target, optional :: values(:, :)
    integer, intent(in), optional :: components(:), function
    real(real64), intent(in), optional :: parameter
    type(enfilt_lenff_options), intent(in), target, optional :: options
    integer(c_int64_t), allocatable, target :: from_zero(:)
    type(c_ptr) :: at_values, chosen
    integer :: shape_of_values(2)
    at_values = c_null_ptr
    shape_of_values = 0
    if (present(values)) then
      at_values = c_loc(values)
      shape_of_values = shape(values)
    end if
    chosen = c_null_ptr
    if (present(options)) chosen = c_loc(options)
    status = c_lenff_f32(plan, ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      observations_of(size(y), size(forecast, 2), c_loc(y), c_loc(std), size(std), at_values, &
                         shape_of_values, components, from_zero, function, parameter), &
      chosen, result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  subroutine inflate_f32(inflation, amount, forecast, analysis, status)
    integer, intent(in) :: inflation
    real(real64), intent(in) :: amount
    real(real32), intent(in), contiguous, target :: forecast(:, :)
    real(real32), intent(inout), contiguous, target :: analysis(:, :)
    integer, intent(out) :: status
    status = c_inflate_f32(int(inflation, c_int32_t), amount, ensemble_of(c_loc(forecast), &
      shape(forecast, c_int64_t)), &
      result_of(c_loc(analysis), shape(analysis), shape(forecast)))
  end subroutine

  ! In place.
  subroutine lorenz96_f32(ensemble, dt, steps, forcing, status)
    real(real32), intent(inout), contiguous, target :: ensemble(:, :)
    real(real64), intent(in) :: dt, forcing
    integer, intent(in) :: steps
    integer, intent(out) :: status
    status = c_lorenz96_f32(ensemble_of(c_loc(ensemble), shape(ensemble, c_int64_t)), dt, &
      int(steps, c_int64_t), forcing, c_loc(ensemble))
  end subroutine

  subroutine flow_field_f32(x, forecast, path, sigma_min, t, out, status, previous, log_weights)
    real(real32), intent(in), contiguous, target :: x(:, :), forecast(:, :)
    integer, intent(in) :: path
    real(real64), intent(in) :: sigma_min, t
    real(real32), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    real(real32), intent(in), contiguous, target, optional :: previous(:, :)
    real(real64), intent(in), contiguous, target, optional :: log_weights(:)
    type(c_ptr) :: before, weights
    before = c_null_ptr
    weights = c_null_ptr
    if (present(previous)) before = result_of(c_loc(previous), shape(previous), shape(forecast))
    if (present(log_weights)) weights = c_loc(log_weights)
    status = c_flow_field_f32(ensemble_of(c_loc(x), shape(x, c_int64_t)), &
      ensemble_of(c_loc(forecast), shape(forecast, c_int64_t)), &
      before, int(path, c_int32_t), sigma_min, t, weights, result_of(c_loc(out), shape(out), shape(x)))
  end subroutine

  subroutine mixture_score_f32(x, centers, scale, std, out, status, log_weights)
    real(real32), intent(in), contiguous, target :: x(:, :), centers(:, :)
    real(real64), intent(in) :: scale, std
    real(real32), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    real(real64), intent(in), contiguous, target, optional :: log_weights(:)
    type(c_ptr) :: weights
    weights = c_null_ptr
    if (present(log_weights)) weights = c_loc(log_weights)
    status = c_mixture_score_f32(ensemble_of(c_loc(x), shape(x, c_int64_t)), &
      ensemble_of(c_loc(centers), shape(centers, c_int64_t)), &
      scale, std, weights, result_of(c_loc(out), shape(out), shape(x)))
  end subroutine

  ! out(N, M)
  subroutine pairwise_log_weights_f32(x, centers, scale, std, out, status)
    real(real32), intent(in), contiguous, target :: x(:, :), centers(:, :)
    real(real64), intent(in) :: scale, std
    real(real64), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    status = c_pairwise_log_weights_f32(ensemble_of(c_loc(x), shape(x, c_int64_t)), &
      ensemble_of(c_loc(centers), shape(centers, c_int64_t)), &
      scale, std, result_of(c_loc(out), shape(out), [size(centers, 2), size(x, 2)]))
  end subroutine

  subroutine normals_f32(key, step, out, status)
    integer(int64), intent(in) :: key
    integer, intent(in) :: step
    real(real32), intent(inout), contiguous, target :: out(:, :)
    integer, intent(out) :: status
    status = c_normals_f32(key, int(step, c_int32_t), size(out, 2, c_int64_t), size(out, 1, c_int64_t), &
      c_loc(out))
  end subroutine

end module
