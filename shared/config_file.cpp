#include "shared/config_file.hpp"

#include "shared/ascii_toml.hpp"
#include "shared/files.hpp"

#include <fmt/core.h>

// toml++ 3.3 asserts of some malformed text ("[)x]") what it should refuse, and without assertions assumes it. Here it
// is refused in every build.
#undef NDEBUG
namespace {
struct MalformedToml {};
constexpr void require_of_toml(bool condition)
{
    if (!condition)
        throw MalformedToml();
}
} // namespace
#define TOML_ASSERT(condition) require_of_toml(static_cast<bool>(condition))
#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace pulsemeter {
namespace {

std::string_view type_name(const toml::node& node)
{
    switch (node.type()) {
    case toml::node_type::table:
        return "a table";
    case toml::node_type::array:
        return "a list";
    case toml::node_type::string:
        return "a text";
    case toml::node_type::integer:
        return "a whole number";
    case toml::node_type::floating_point:
        return "a number with a fraction";
    case toml::node_type::boolean:
        return "true or false";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
        return "a date or time";
    case toml::node_type::none:
        break;
    }
    return "nothing";
}

std::uint32_t line_of(const toml::node& node)
{
    return node.source().begin.line;
}

[[noreturn]] void refuse_at(const std::string& file, std::uint32_t line, const std::string& key,
                            std::string_view message)
{
    if (line == 0)
        throw UsageError(fmt::format("{}: {}: {}", file, key, message));
    throw UsageError(fmt::format("{}:{}: {}: {}", file, line, key, message));
}

std::string joined(const std::set<std::string, std::less<>>& names)
{
    std::string text;
    for (const auto& name : names)
        text += (text.empty() ? "" : ", ") + name;
    return text.empty() ? "none" : text;
}

// As systemd names the credentials of a folder: "broker_mqtt-password" is broker/mqtt-password.
std::filesystem::path credential_name(const std::filesystem::path& path)
{
    std::string name = path.lexically_normal().string();
    std::replace(name.begin(), name.end(), '/', '_');
    return name;
}

struct Unknown {
    std::uint32_t line;
    std::string key;
    std::string message;
};

} // namespace

struct ConfigFile::Table::Impl {
    std::string file;
    std::string name;
    const toml::table*
        values; // in the file's document, which `document` keeps alive; null if the table is absent
    std::shared_ptr<const toml::table> document;
    std::set<std::string, std::less<>> asked;

    const toml::node* find(std::string_view key)
    {
        asked.emplace(key);
        return values != nullptr ? values->get(key) : nullptr;
    }
    [[noreturn]] void refuse(std::string_view key, std::string_view message) const
    {
        const toml::node* node = values != nullptr ? values->get(key) : nullptr;
        if (node == nullptr)
            node = values;
        refuse_at(file, node != nullptr ? line_of(*node) : 0, fmt::format("{}.{}", name, key), message);
    }
};

struct ConfigFile::Impl {
    std::string file;
    std::shared_ptr<const toml::table> document;
    std::map<std::string, std::shared_ptr<Table::Impl>, std::less<>> tables;
};

std::string how_to_hand_over(const std::filesystem::path& file)
{
    const std::string name = file.filename().string();
    return fmt::format("put it into the folder /etc/pulsemeter/broker, and write \"broker/{}\"", name);
}

ConfigFile ConfigFile::read(const std::filesystem::path& path, Secrecy secrecy)
{
    return parse(secrecy == Secrecy::owner_only ? read_secret_file(path) : read_file(path), path);
}

ConfigFile ConfigFile::parse(std::string_view text, const std::filesystem::path& name)
{
    auto impl = std::make_shared<Impl>();
    impl->file = name.string();
    const std::string ascii = ascii_toml(text, impl->file);
    try {
        impl->document = std::make_shared<const toml::table>(toml::parse(ascii));
    } catch (const toml::parse_error& error) {
        const auto place = error.source().begin;
        throw UsageError(fmt::format("{}:{}:{}: no valid TOML: {}", impl->file, place.line, place.column,
                                     error.description()));
    } catch (const MalformedToml&) {
        throw UsageError(fmt::format("{}: no valid TOML: a key is malformed", impl->file));
    }
    return ConfigFile(std::move(impl));
}

ConfigFile::Table ConfigFile::table(std::string_view name)
{
    const auto known = impl_->tables.find(name);
    if (known != impl_->tables.end())
        return Table(known->second);

    const toml::node* node = impl_->document->get(name);
    if (node != nullptr && !node->is_table()) {
        refuse_at(impl_->file, line_of(*node), std::string(name),
                  fmt::format("is {}; must be a table: [{}]", type_name(*node), name));
    }
    auto table = std::make_shared<Table::Impl>();
    table->file = impl_->file;
    table->name = name;
    table->values = node != nullptr ? node->as_table() : nullptr;
    table->document = impl_->document;
    impl_->tables.emplace(name, table);
    return Table(std::move(table));
}

void ConfigFile::finish() const
{
    std::vector<Unknown> unknown;
    std::set<std::string, std::less<>> names;
    for (const auto& [name, table] : impl_->tables)
        names.insert(name);
    for (const auto& [key, node] : *impl_->document) {
        const std::string name(key.str());
        const auto table = impl_->tables.find(name);
        if (table == impl_->tables.end()) {
            unknown.push_back({line_of(node), name,
                               fmt::format("unknown {}; known tables: {}", node.is_table() ? "table" : "key",
                                           joined(names))});
            continue;
        }
        for (const auto& [inner_key, inner_node] : *table->second->values) {
            if (!table->second->asked.contains(inner_key.str())) {
                unknown.push_back({line_of(inner_node), fmt::format("{}.{}", name, inner_key.str()),
                                   fmt::format("unknown key; known: {}", joined(table->second->asked))});
            }
        }
    }
    if (unknown.empty())
        return;
    const auto first = std::min_element(unknown.begin(), unknown.end(),
                                        [](const auto& a, const auto& b) { return a.line < b.line; });
    refuse_at(impl_->file, first->line, first->key, first->message);
}

std::optional<std::string> ConfigFile::Table::string(std::string_view key)
{
    const toml::node* node = impl_->find(key);
    if (node == nullptr)
        return std::nullopt;
    if (!node->is_string())
        impl_->refuse(key, fmt::format("is {}; must be a text in quotes", type_name(*node)));
    return node->as_string()->get();
}

std::optional<std::int64_t> ConfigFile::Table::integer(std::string_view key, std::int64_t least,
                                                       std::int64_t most)
{
    const toml::node* node = impl_->find(key);
    if (node == nullptr)
        return std::nullopt;
    if (!node->is_integer()) {
        impl_->refuse(
            key, fmt::format("is {}; must be a whole number from {} to {}", type_name(*node), least, most));
    }
    const std::int64_t value = node->as_integer()->get();
    if (value < least || value > most)
        impl_->refuse(key, fmt::format("{} is out of range; allowed: {} to {}", value, least, most));
    return value;
}

std::optional<bool> ConfigFile::Table::boolean(std::string_view key)
{
    const toml::node* node = impl_->find(key);
    if (node == nullptr)
        return std::nullopt;
    if (!node->is_boolean())
        impl_->refuse(key, fmt::format("is {}; must be true or false", type_name(*node)));
    return node->as_boolean()->get();
}

std::optional<std::filesystem::path> ConfigFile::Table::path(std::string_view key)
{
    const auto name = string(key);
    if (!name)
        return std::nullopt;
    if (name->empty() || name->find('\0') != std::string::npos)
        impl_->refuse(key, "is no file's name; leave it out if there is none");
    const std::filesystem::path path(*name);
    if (path.is_absolute())
        return path;
    const auto beside = std::filesystem::path(impl_->file).parent_path();
    if (const char* credentials = std::getenv("CREDENTIALS_DIRECTORY"); credentials != nullptr) {
        std::error_code ignored;
        if (auto credential = credentials / credential_name(path);
            std::filesystem::exists(credential, ignored))
            return credential;
        if (beside == credentials) {
            impl_->refuse(
                key, key == "ca_folder"
                         ? "the service is handed no folder; name one by its whole path that all may read"
                         : "the service is not handed this file; " + how_to_hand_over(path));
        }
    }
    return beside / path;
}

std::string ConfigFile::Table::required_string(std::string_view key)
{
    auto value = string(key);
    if (!value)
        impl_->refuse(key, fmt::format("is missing; add {} = \"...\" to the table [{}]", key, impl_->name));
    return *std::move(value);
}

void ConfigFile::Table::refuse(std::string_view key, std::string_view message) const
{
    impl_->refuse(key, message);
}

} // namespace pulsemeter
