// A pretend accelerator: a torch device whose tensors lie in the CPU's memory, with the rules of a real one.
// Its kernels are the CPU's: an operator gets CPU tensors that share the memory of its arguments.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorShape.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

using at::Tensor;
using c10::Device;
using c10::DeviceIndex;
using c10::DeviceType;
using Sizes = c10::SymIntArrayRef;

static const Device PRETEND(DeviceType::PrivateUse1, 0);

static bool is_pretend(const Tensor& t) {
  return t.defined() && t.device().type() == DeviceType::PrivateUse1;
}

// ---- Rules that Python sets, and what made the host wait for the device

static bool has_float64 = true;
static std::unordered_set<std::string> refused;
static std::vector<std::string> waits;
static std::mutex waits_lock;

static void waited(const std::string& name) {
  std::lock_guard<std::mutex> lock(waits_lock);
  waits.push_back(name);
}

static void check_dtype(at::ScalarType type) {
  TORCH_CHECK_TYPE(has_float64 || (type != at::kDouble && type != at::kComplexDouble),
                   "the pretend device has no float64, like MPS: move the tensor to the CPU first");
}

// ---- What torch asks of every device: memory, a guard, a generator, hooks

static void free_memory(void* memory) { c10::free_cpu(memory); }

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* memory = bytes ? c10::alloc_cpu(bytes) : nullptr;
    return {memory, memory, &free_memory, PRETEND};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_memory; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};
static Allocator allocator;
REGISTER_ALLOCATOR(DeviceType::PrivateUse1, &allocator);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::Stream stream() const { return c10::Stream(c10::Stream::DEFAULT, PRETEND); }
  DeviceType type() const override { return DeviceType::PrivateUse1; }
  Device exchangeDevice(Device) const override { return PRETEND; }
  Device getDevice() const override { return PRETEND; }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  c10::Stream getStream(Device) const override { return stream(); }
  c10::Stream getDefaultStream(Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const override { return stream(); }
  DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Generator : at::CPUGeneratorImpl {
  Generator() {
    device_ = PRETEND;
    key_set_ = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
  }
};

static at::Generator& default_generator() {
  static at::Generator generator = at::make_generator<Generator>();
  return generator;
}

struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(DeviceIndex) const override { return default_generator(); }
  at::Generator getNewGenerator(DeviceIndex) const override { return at::make_generator<Generator>(); }
  Device getDeviceFromPtr(void*) const override { return PRETEND; }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetAllocator(c10::kCPU); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    at::native::resize_bytes_cpu(storage.unsafeGetStorageImpl(), bytes);
  }
};

// ---- Every operator without a kernel below: run the CPU's on tensors that share the memory

// The same memory as a tensor of the other device.
static Tensor share(const Tensor& t, Device device) {
  if (!t.defined()) return t;
  auto* owner = new c10::Storage(t.storage());
  c10::DataPtr memory(
      owner->mutable_data(), owner, [](void* o) { delete static_cast<c10::Storage*>(o); }, device);
  c10::Allocator* source = device.is_cpu() ? c10::GetAllocator(c10::kCPU) : &allocator;
  c10::Storage storage(
      c10::Storage::use_byte_size_t(), t.storage().nbytes(), std::move(memory), source, /*resizable=*/true);
  c10::DispatchKeySet keys(device.is_cpu() ? c10::DispatchKey::CPU : c10::DispatchKey::PrivateUse1);
  auto shared = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys, t.dtype());
  shared.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
  return shared;
}

static Tensor to_cpu(const Tensor& t) { return share(t, c10::kCPU); }
static Tensor to_pretend(const Tensor& t) { return share(t, PRETEND); }

static void run_on_cpu(const c10::OperatorHandle& op, c10::Stack* stack) {
  const auto& schema = op.schema();
  const std::string& name = schema.operator_name().name;
  const std::string& overload = schema.operator_name().overload_name;
  const std::string full = overload.empty() ? name : name + "." + overload;
  TORCH_CHECK_NOT_IMPLEMENTED(!refused.count(full), "The operator '", full,
                              "' is not implemented for the pretend device, like MPS: use the CPU");
  static const std::unordered_set<std::string> waiting{
      "aten::nonzero", "aten::masked_select", "aten::equal", "aten::_unique2", "aten::unique_dim"};
  if (waiting.count(name)) waited(full);

  std::vector<std::pair<Tensor, Tensor>> arguments;  // CPU tensor, the pretend tensor that it stands for
  auto argument = [&](const Tensor& t) {
    if (!t.defined()) return t;
    if (!is_pretend(t)) {  // a number may come from the CPU, other tensors may not
      TORCH_CHECK(t.dim() == 0, "Expected all tensors to be on the same device, but found at least two devices, ",
                  "pretend:0 and cpu! (when calling ", full, ")");
      return t;
    }
    check_dtype(t.scalar_type());
    Tensor shared = to_cpu(t);
    arguments.emplace_back(shared, t);
    return shared;
  };
  const size_t n = schema.arguments().size(), first = stack->size() - n;
  for (size_t i = first; i < first + n; ++i) {
    c10::IValue& value = (*stack)[i];
    if (value.isTensor()) {
      value = argument(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : value.toTensorVector()) list.push_back(argument(t));
      value = list;
    } else if (value.isOptionalTensorList()) {  // the indices in x[i, j]: may come from the CPU
      c10::List<std::optional<Tensor>> list;
      for (const std::optional<Tensor>& t : value.toOptionalTensorVector()) {
        const bool mine = t.has_value() && is_pretend(*t);
        if (mine && (t->scalar_type() == at::kBool || t->scalar_type() == at::kByte)) waited(full + " with a mask");
        list.push_back(mine ? std::optional<Tensor>(argument(*t)) : t);
      }
      value = list;
    } else if (value.isDevice()) {
      value = Device(c10::kCPU);
    } else if (value.isGenerator()) {
      at::Generator generator = value.toGenerator();
      TORCH_CHECK(!generator.defined() || generator.device() == PRETEND,
                  "Expected a 'pretend' device type for generator but found '", generator.device(), "'");
      auto* own = static_cast<at::CPUGeneratorImpl*>(generator.unsafeGetGeneratorImpl());
      value = at::make_generator<at::CPUGeneratorImpl>(own->random());
    }
  }

  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);

  for (auto& [cpu, original] : arguments) {  // what the operator resized
    if (cpu.sizes() == original.sizes()) continue;
    Tensor result = to_pretend(cpu);
    original.unsafeGetTensorImpl()->set_storage_keep_dtype(result.storage());
    original.unsafeGetTensorImpl()->set_sizes_and_strides(result.sizes(), result.strides());
  }
  auto result = [&](const Tensor& t) {
    if (!t.defined()) return t;
    for (auto& [cpu, original] : arguments) {
      if (cpu.is_same(t)) return original;  // it worked in place
    }
    check_dtype(t.scalar_type());
    return to_pretend(t);
  };
  for (size_t i = stack->size() - schema.returns().size(); i < stack->size(); ++i) {
    c10::IValue& value = (*stack)[i];
    if (value.isTensor()) {
      value = result(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : value.toTensorVector()) list.push_back(result(t));
      value = list;
    }
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

// ---- What every device must bring itself: empty tensors, views, copies, the number in a tensor, convolution

static Tensor empty(Sizes size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                    std::optional<Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  check_dtype(c10::dtype_or_default(dtype));
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &allocator,
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

static Tensor empty_strided(Sizes size, Sizes stride, std::optional<at::ScalarType> dtype,
                            std::optional<at::Layout>, std::optional<Device>, std::optional<bool>) {
  check_dtype(c10::dtype_or_default(dtype));
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
                                           &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

static Tensor as_strided(const Tensor& t, Sizes size, Sizes stride, std::optional<c10::SymInt> offset) {
  std::optional<int64_t> start;
  if (offset.has_value()) start = offset->expect_int();
  return at::native::as_strided_tensorimpl(t, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), start);
}

static Tensor view(const Tensor& t, Sizes size) { return at::native::view(t, C10_AS_INTARRAYREF_SLOW(size)); }

static Tensor reshape_alias(const Tensor& t, Sizes size, Sizes stride) {
  return at::native::_reshape_alias(t, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

static Tensor unfold(const Tensor& t, int64_t dim, int64_t size, int64_t step) {
  return at::native::unfold(t, dim, size, step);
}

static const Tensor& resize_(const Tensor& t, Sizes size, std::optional<at::MemoryFormat>) {
  const auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  const size_t bytes =
      at::detail::computeStorageNbytesContiguous(sizes, t.dtype().itemsize(), t.storage_offset());
  if (t.storage().nbytes() < bytes) {
    at::native::resize_bytes_cpu(t.storage().unsafeGetStorageImpl(), bytes);
  }
  t.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  return t;
}

static Tensor& set_(Tensor& t, at::Storage storage, c10::SymInt offset, Sizes size, Sizes stride) {
  t.unsafeGetTensorImpl()->set_storage_keep_dtype(storage);
  t.unsafeGetTensorImpl()->set_sizes_and_strides(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), offset.expect_int());
  return t;
}

static Tensor& set_all(Tensor& t, at::Storage storage) {
  t.unsafeGetTensorImpl()->set_storage_keep_dtype(storage);
  t.unsafeGetTensorImpl()->set_sizes_contiguous({int64_t(storage.nbytes() / t.dtype().itemsize())});
  return t;
}

static Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  if (is_pretend(to)) check_dtype(to.scalar_type());
  if (is_pretend(from) != is_pretend(to) && !non_blocking) {
    waited(is_pretend(to) ? "a copy to the device" : "a copy to the CPU");
  }
  Tensor target = is_pretend(to) ? to_cpu(to) : to;
  target.copy_(is_pretend(from) ? to_cpu(from) : from);
  return to;
}

static Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

static at::Scalar local_scalar_dense(const Tensor& t) {
  waited("aten::_local_scalar_dense");
  return to_cpu(t).item();
}

static Tensor convolution(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, Sizes stride,
                          Sizes padding, Sizes dilation, bool transposed, Sizes output_padding, c10::SymInt groups) {
  TORCH_CHECK(is_pretend(x) && is_pretend(weight) && (!bias || !bias->defined() || is_pretend(*bias)),
              "Input type and weight type should be the same: they are on different devices");
  c10::impl::ExcludeDispatchKeyGuard no_autograd(c10::autograd_dispatch_keyset);
  std::optional<Tensor> cpu_bias;
  if (bias) cpu_bias = to_cpu(*bias);
  return to_pretend(at::convolution_symint(to_cpu(x), to_cpu(weight), cpu_bias, stride, padding, dilation,
                                           transposed, output_padding, groups));
}

static std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& grad, const Tensor& x, const Tensor& weight, Sizes stride, Sizes padding, Sizes dilation,
    bool transposed, Sizes output_padding, c10::SymInt groups, std::array<bool, 3> mask) {
  c10::impl::ExcludeDispatchKeyGuard no_autograd(c10::autograd_dispatch_keyset);
  std::vector<c10::SymInt> bias_size{transposed ? weight.sym_size(1) * groups : weight.sym_size(0)};
  auto [grad_x, grad_weight, grad_bias] = at::convolution_backward_symint(
      to_cpu(grad.contiguous()), to_cpu(x), to_cpu(weight), Sizes(bias_size), stride, padding, dilation,
      transposed, output_padding, groups, mask);
  return {to_pretend(grad_x), to_pretend(grad_weight), to_pretend(grad_bias)};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("unfold", unfold);
  m.impl("resize_", resize_);
  m.impl("set_.source_Storage_storage_offset", set_);
  m.impl("set_.source_Storage", set_all);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
  m.impl("mse_loss", torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());  // or torch warns of its own kernel
}

// ---- torch.ops.pretend, for pretend_device.py

TORCH_LIBRARY(pretend, m) {
  m.def("init() -> ()", [] { at::RegisterPrivateUse1HooksInterface(new Hooks()); });
  m.def("manual_seed(int seed) -> ()", [](int64_t seed) { default_generator().set_current_seed(seed); });
  m.def("get_rng_state() -> Tensor", [] { return default_generator().get_state(); });
  m.def("set_rng_state(Tensor state) -> ()", [](const Tensor& state) { default_generator().set_state(state); });
  m.def("refuse(bool float64, str[] operators) -> ()", [](bool float64, c10::List<std::string> operators) {
    has_float64 = !float64;
    for (const std::string& name : operators) refused.insert(name);
  });
  m.def("take_waits() -> str[]", [] {
    std::lock_guard<std::mutex> lock(waits_lock);
    c10::List<std::string> taken;
    for (const std::string& name : waits) taken.push_back(name);
    waits.clear();
    return taken;
  });
}
