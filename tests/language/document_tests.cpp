// The language reference and the page on porting: their examples behave as they say, and the reference's
// tables are those of the compiler.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "ir/convention.h"
#include "tests/language/support.h"
#include "tests/support/document.h"

using namespace cardinal;

namespace {

std::string document() { return test::read_text(test::source_root() + "/docs/language.md"); }

}  // namespace

TEST_CASE("the documents' examples behave as they say") {
  test::SourceDirectory directory;
  int good = 0, bad = 0;
  for (const std::string page : {"docs/language.md", "docs/porting.md"}) {
    for (const testing::Example& example :
         testing::examples(test::read_text(test::source_root() + "/" + page))) {
      if (example.kind.rfind("nn", 0) != 0) continue;
      if (example.kind.rfind("nn file=", 0) == 0) directory.write(example.kind.substr(8), example.text);
      SourceMap sources;
      Diagnostics found = check_program(sources, directory.write("example.nn", example.text));
      INFO(page << ":" << example.line << "\n" << found.render(sources));
      if (example.kind != "nn error") {
        CHECK(!found.has_errors());
        ++good;
        continue;
      }
      ++bad;
      const std::string mark = "# error: ";
      REQUIRE(example.text.rfind(mark, 0) == 0);
      std::string message = example.text.substr(mark.size(), example.text.find('\n') - mark.size());
      REQUIRE(found.list().size() == 1);
      CHECK(found.list()[0].message == message);
    }
  }
  CHECK(good > 10);
  CHECK(bad > 4);
}

TEST_CASE("the reference's table of ops is the op table") {
  std::string text = document();
  for (const OpInfo& op : op_table()) {
    if (op.internal_op) continue;
    std::string required, named;
    for (const FieldInfo& field : op.fields) {
      if (field.internal) continue;
      std::string& list = field.is_required ? required : named;
      if (!list.empty()) list += ", ";
      list += field.is_required ? fmt::format("`{}`: {}", field.name, field.type)
                                : fmt::format("`{}={}`", field.name, to_string(field.default_value));
    }
    std::string row = fmt::format("| `{}` | {} | {} | {} |", op.name, required, named, op.summary);
    INFO("docs/language.md lacks this row, or has another one:\n" << row);
    CHECK(text.find(row) != std::string::npos);
  }
}

TEST_CASE("the reference's table of conventions is the compiler's") {
  const std::string text = document();
  const auto check_row = [&](const std::string& label, const auto& fact) {
    std::string row = fmt::format("| {} |", label);
    for (const Convention& convention : conventions()) row += fmt::format(" {} |", fact(convention));
    INFO("docs/language.md lacks this row, or has another one:\n" << row);
    CHECK(text.find(row) != std::string::npos);
  };
  const auto names = [](const std::vector<Role>& roles) {
    return [=](const Convention& convention) {
      std::string list;
      for (Role role : roles) list += (list.empty() ? "" : ", ") + weight_name(convention, "P", {role, {}});
      return list;
    };
  };
  check_row("weights of a `conv` or `linear` called P", names({Role::kernel, Role::bias}));
  check_row("of a `batch_norm`", names({Role::scale, Role::shift, Role::mean, Role::variance}));
  check_row("of a `layer_norm`, `group_norm` or `instance_norm`", names({Role::scale, Role::shift}));
  check_row("of a `channel_scale`",
            [](const Convention& c) { return weight_name(c, "P", {Role::scale, {}, true}); });
  check_row("of a `prelu`", names({Role::slope}));
  check_row("`eps` of `batch_norm`", [](const Convention& c) { return c.batch_norm_eps; });
  check_row("`eps` of `layer_norm`, `group_norm` and `instance_norm`",
            [](const Convention& c) { return c.layer_norm_eps; });
  check_row("`scale` and `shift` of `instance_norm`",
            [](const Convention& c) { return c.instance_norm_weights; });
  check_row("`order` of `space_to_depth` and `depth_to_space`",
            [](const Convention& c) { return to_string(to_attr(c.depth_order)); });
  check_row("`count_include_pad` of `avg_pool`", [](const Convention& c) { return c.count_include_pad; });
  check_row("`layout` of inputs and outputs", [](const Convention& c) { return to_string(c.layout); });
  check_row("`order` of `flatten`", [](const Convention& c) { return to_string(to_attr(c.flatten)); });
  check_row("`negative_slope` of `leaky_relu`", [](const Convention& c) { return c.leaky_relu_slope; });
  check_row("`approximate` of `gelu`", [](const Convention& c) { return c.approximate_gelu; });
}

TEST_CASE("the reference's table of functions is the compiler's") {
  std::string text = document();
  for (const BuiltinInfo& function : builtin_functions()) {
    std::string row = fmt::format("| `{}` | {} |", function.signature, function.summary);
    INFO("docs/language.md lacks this row, or has another one:\n" << row);
    CHECK(text.find(row) != std::string::npos);
  }
}
