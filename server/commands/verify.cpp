#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/sqlite_ledger.hpp"

#include <fmt/core.h>

#include <memory>

namespace pulsemeter {
namespace {

struct VerifyOptions {
    std::optional<std::string> data;
    std::optional<std::filesystem::path> password_file;
    std::optional<std::string> expected;
};

std::optional<AuditHead> expected_head(const VerifyOptions& options)
{
    if (!options.expected)
        return std::nullopt;
    if (const auto head = parse_head(*options.expected))
        return head;
    throw UsageError(fmt::format("--expect {}: a head is wanted as verify and backup print it: a number, a "
                                 "hyphen and 64 hexadecimal digits",
                                 *options.expected));
}

ExitCode verify(const VerifyOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const auto expected = expected_head(options);
    const crypto::SecretText password = obtain_password(options.password_file);
    const auto key = Keystore::open(folder.keystore(), password.text()).existing_audit_key();
    const LedgerAudit audit = SqliteLedger(folder.ledger(), LedgerAccess::read).verify(key, expected);
    if (audit.fault)
        throw std::runtime_error(fmt::format("{}: {}", folder.ledger().string(), *audit.fault));
    for (const MeterAudit& meter : audit.meters) {
        put(fmt::format("{}: {} readings sealed, {} not yet; head {}\n", meter.meter.text(),
                        meter.sealed_rows, meter.open_rows, meter.head ? text(*meter.head) : "none"));
    }
    print(fmt::format("all in order; head {}\n", audit.head ? text(*audit.head) : "none"));
    return ExitCode::done;
}

} // namespace

void add_verify(Command& parent)
{
    auto options = std::make_shared<VerifyOptions>();
    Command command = parent.add_command(
        "verify", "Check the ledger's seals, order and totals, also beside a running server");
    add_data_option(command, options->data);
    add_password_option(command, options->password_file);
    command
        .add_option("--expect", options->expected,
                    "A head that was noted earlier: the ledger must still hold all that it stood for")
        .takes("HEAD");
    command.does([options] { return verify(*options); });
}

} // namespace pulsemeter
