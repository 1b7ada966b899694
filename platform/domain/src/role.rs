//! Who may do what: one table.
//!
//! Staff have a role and see every merchant; merchant users have a role and see their own merchant only, and only
//! through the portal (`/merchant/*`). Devices are not here: a device may speak of itself and nothing else.

use crate::text_enum::text_enum;

text_enum! {
    /// What a person, or a program with a token, is.
    pub enum Role as "role" {
        /// May do everything.
        Admin = "admin",
        /// Runs merchants, outlets, terminals, boxes.
        Ops = "ops",
        /// Runs payments and settlements.
        Finance = "finance",
        /// Reads.
        Support = "support",
        /// Owns a merchant.
        MerchantOwner = "merchant_owner",
        /// Works at a merchant's counter.
        MerchantCashier = "merchant_cashier",
    }
}

impl Role {
    /// Whether this role belongs to one merchant.
    pub const fn is_of_merchant(self) -> bool {
        matches!(self, Self::MerchantOwner | Self::MerchantCashier)
    }

    /// Whether it may move money or make users: a token with it needs the approval of two people.
    pub fn is_powerful(self) -> bool {
        use Permission::{
            ApprovalWrite, FeeWrite, LedgerWrite, SettlementWrite, TransactionWrite, UserWrite,
        };
        [
            ApprovalWrite,
            FeeWrite,
            LedgerWrite,
            SettlementWrite,
            TransactionWrite,
            UserWrite,
        ]
        .into_iter()
        .any(|permission| self.may(permission))
    }

    /// Whether this role has `permission`.
    pub fn may(self, permission: Permission) -> bool {
        permission.roles().contains(&self)
    }
}

text_enum! {
    /// One noun, read or written.
    pub enum Permission as "permission" {
        /// See merchants.
        MerchantRead = "merchant:read",
        /// Create, change, approve, reject merchants.
        MerchantWrite = "merchant:write",
        /// See outlets.
        OutletRead = "outlet:read",
        /// Create and change outlets.
        OutletWrite = "outlet:write",
        /// See terminals.
        TerminalRead = "terminal:read",
        /// Create and change terminals.
        TerminalWrite = "terminal:write",
        /// See boxes, their heartbeats, notifications and configuration.
        DeviceRead = "device:read",
        /// Register, change, bind, configure boxes.
        DeviceWrite = "device:write",
        /// See commands to boxes.
        CommandRead = "command:read",
        /// Give commands to boxes.
        CommandWrite = "command:write",
        /// See firmware and its roll-outs.
        FirmwareRead = "firmware:read",
        /// Publish firmware and roll it out.
        FirmwareWrite = "firmware:write",
        /// See payments.
        TransactionRead = "transaction:read",
        /// Have a payment announced again, assign unmatched money.
        TransactionWrite = "transaction:write",
        /// See settlements and payouts.
        SettlementRead = "settlement:read",
        /// Run settlements, retry and mark payouts.
        SettlementWrite = "settlement:write",
        /// See ledger lines, balances and reconciliations.
        LedgerRead = "ledger:read",
        /// Reconcile against an acquirer's file.
        LedgerWrite = "ledger:write",
        /// See fee profiles.
        FeeRead = "fee:read",
        /// Propose and confirm fee profiles.
        FeeWrite = "fee:write",
        /// See what waits for a second person.
        ApprovalRead = "approval:read",
        /// Confirm or turn down what another person has proposed.
        ApprovalWrite = "approval:write",
        /// See incidents, unmatched payments and what partners have sent.
        IncidentRead = "incident:read",
        /// Close incidents.
        IncidentWrite = "incident:write",
        /// See the audit log.
        AuditRead = "audit:read",
        /// See users and tokens (never secrets).
        UserRead = "user:read",
        /// Create and revoke users and tokens.
        UserWrite = "user:write",
        /// See webhook endpoints and what was sent to them.
        WebhookRead = "webhook:read",
        /// Create and change webhook endpoints.
        WebhookWrite = "webhook:write",
        /// Make the demonstration's data.
        SeedWrite = "seed:write",
        /// See one's own merchant in the portal.
        PortalRead = "portal:read",
    }
}

impl Permission {
    /// The table. `admin` has all but the portal, which needs a merchant of one's own.
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Admin, Finance, MerchantCashier, MerchantOwner, Ops, Support};
        match self {
            Self::MerchantRead
            | Self::OutletRead
            | Self::TerminalRead
            | Self::DeviceRead
            | Self::CommandRead
            | Self::FirmwareRead => &[Admin, Ops, Support],
            Self::MerchantWrite
            | Self::OutletWrite
            | Self::TerminalWrite
            | Self::DeviceWrite
            | Self::CommandWrite
            | Self::FirmwareWrite => &[Admin, Ops],
            Self::TransactionRead
            | Self::SettlementRead
            | Self::LedgerRead
            | Self::FeeRead
            | Self::IncidentRead => &[Admin, Finance, Support],
            Self::TransactionWrite
            | Self::SettlementWrite
            | Self::LedgerWrite
            | Self::FeeWrite
            | Self::ApprovalWrite
            | Self::IncidentWrite => &[Admin, Finance],
            Self::ApprovalRead => &[Admin, Ops, Finance, Support],
            Self::AuditRead | Self::UserRead | Self::WebhookRead => &[Admin, Support],
            Self::UserWrite | Self::WebhookWrite | Self::SeedWrite => &[Admin],
            Self::PortalRead => &[MerchantOwner, MerchantCashier],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(role: Role) -> Vec<Permission> {
        Permission::ALL
            .iter()
            .copied()
            .filter(|permission| role.may(*permission))
            .collect()
    }

    #[test]
    fn admin_may_do_all_but_stand_at_a_counter() {
        let missing: Vec<_> = Permission::ALL
            .iter()
            .filter(|permission| !Role::Admin.may(**permission))
            .collect();
        assert_eq!(missing, [&Permission::PortalRead]);
    }

    #[test]
    fn admin_and_finance_are_powerful() {
        let powerful: Vec<_> = Role::ALL.iter().filter(|role| role.is_powerful()).collect();
        assert_eq!(powerful, [&Role::Admin, &Role::Finance]);
    }

    #[test]
    fn merchants_have_the_portal_and_nothing_else() {
        for role in Role::ALL
            .iter()
            .copied()
            .filter(|role| role.is_of_merchant())
        {
            assert_eq!(all_of(role), [Permission::PortalRead]);
        }
    }

    #[test]
    fn support_reads_and_never_writes() {
        for permission in Permission::ALL {
            let reads =
                permission.as_str().ends_with(":read") && *permission != Permission::PortalRead;
            assert_eq!(Role::Support.may(*permission), reads, "{permission}");
        }
    }

    /// The words for reading and writing each of these nouns.
    fn read_and_write(nouns: &[&str]) -> Vec<String> {
        nouns
            .iter()
            .flat_map(|noun| [format!("{noun}:read"), format!("{noun}:write")])
            .collect()
    }

    #[test]
    fn ops_run_the_fleet_and_finance_the_money() {
        let words =
            |role| -> Vec<String> { all_of(role).iter().map(ToString::to_string).collect() };
        let fleet = [
            "merchant", "outlet", "terminal", "device", "command", "firmware",
        ];
        // They see what became of a change that they have proposed.
        let mut ops = read_and_write(&fleet);
        ops.push("approval:read".to_owned());
        assert_eq!(words(Role::Ops), ops);
        let money = [
            "transaction",
            "settlement",
            "ledger",
            "fee",
            "approval",
            "incident",
        ];
        assert_eq!(words(Role::Finance), read_and_write(&money));
    }
}
