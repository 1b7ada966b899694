//! Whom each route is for.

use domain::role::Permission;

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Every caller: what it answers depends on what is in the body.
    Anyone,
    /// Every caller with a role.
    AnyRole,
    /// Partners that sign; no caller of these tests does.
    Partner,
    /// The same, answered in the form of SNAP BI.
    SnapPartner,
    /// Boxes.
    Box,
    /// Roles with this permission, and no other.
    May(Permission),
}

use Permission::{
    ApprovalRead, ApprovalWrite, AuditRead, CommandRead, CommandWrite, DeviceRead, DeviceWrite,
    FeeRead, FeeWrite, FirmwareRead, FirmwareWrite, IncidentRead, IncidentWrite, LedgerRead,
    LedgerWrite, MerchantRead, MerchantWrite, OutletRead, OutletWrite, PortalRead, SeedWrite,
    SettlementRead, SettlementWrite, TerminalRead, TerminalWrite, TransactionRead,
    TransactionWrite, UserRead, UserWrite, WebhookRead, WebhookWrite,
};
use Who::{AnyRole, Anyone, Box, May, Partner, SnapPartner};

macro_rules! table {
    ($($method:ident $path:literal $who:expr;)*) => {
        &[$((stringify!($method), $path, $who)),*]
    };
}

/// Every route of the platform: method, path, and whom it is for.
pub(super) const TABLE: &[(&str, &str, Who)] = table! {
    POST "/admin/login" Anyone;
    POST "/admin/logout" AnyRole;
    POST "/admin/password" AnyRole;
    POST "/admin/password/setup" Anyone;
    POST "/admin/seed" May(SeedWrite);
    GET "/admin/users" May(UserRead);
    GET "/admin/users.csv" May(UserRead);
    POST "/admin/users" May(UserWrite);
    GET "/admin/users/{user_id}" May(UserRead);
    PATCH "/admin/users/{user_id}" May(UserWrite);
    POST "/admin/users/{user_id}/reset" May(UserWrite);
    GET "/admin/tokens" May(UserRead);
    GET "/admin/tokens.csv" May(UserRead);
    POST "/admin/tokens" May(UserWrite);
    POST "/admin/tokens/{token_id}/revoke" May(UserWrite);
    POST "/admin/webhook-endpoints" May(WebhookWrite);
    GET "/admin/webhook-endpoints" May(WebhookRead);
    GET "/admin/webhook-endpoints/{endpoint_id}" May(WebhookRead);
    PATCH "/admin/webhook-endpoints/{endpoint_id}" May(WebhookWrite);
    DELETE "/admin/webhook-endpoints/{endpoint_id}" May(WebhookWrite);
    POST "/admin/webhook-endpoints/{endpoint_id}/rotate-secret" May(WebhookWrite);
    POST "/admin/webhook-endpoints/{endpoint_id}/test" May(WebhookWrite);
    GET "/admin/webhook-endpoints/{endpoint_id}/deliveries" May(WebhookRead);
    POST "/admin/webhook-endpoints/deliveries/{delivery_id}/resend" May(WebhookWrite);
    GET "/admin/audit-logs" May(AuditRead);
    GET "/admin/audit-logs.csv" May(AuditRead);
    GET "/admin/audit-logs/head" May(AuditRead);
    GET "/admin/audio/clips.json" May(DeviceRead);
    GET "/admin/box-profiles" May(DeviceRead);
    POST "/device/notifications/replay-request" Box;
    POST "/device/total-request" Box;
    GET "/admin/merchants" May(MerchantRead);
    GET "/admin/merchants.csv" May(MerchantRead);
    POST "/admin/merchants" May(MerchantWrite);
    GET "/admin/merchants/{merchant_id}" May(MerchantRead);
    PATCH "/admin/merchants/{merchant_id}" May(MerchantWrite);
    POST "/admin/merchants/{merchant_id}/approve" May(MerchantWrite);
    POST "/admin/merchants/{merchant_id}/reject" May(MerchantWrite);
    POST "/admin/merchants/{merchant_id}/suspend" May(MerchantWrite);
    POST "/admin/merchants/{merchant_id}/reactivate" May(MerchantWrite);
    POST "/admin/merchants/{merchant_id}/outlets" May(OutletWrite);
    GET "/admin/outlets" May(OutletRead);
    GET "/admin/outlets/{outlet_id}" May(OutletRead);
    PATCH "/admin/outlets/{outlet_id}" May(OutletWrite);
    POST "/admin/outlets/{outlet_id}/terminals" May(TerminalWrite);
    POST "/admin/terminals/partner-names" May(TerminalWrite);
    GET "/admin/terminals" May(TerminalRead);
    GET "/admin/terminals/{terminal_id}" May(TerminalRead);
    PATCH "/admin/terminals/{terminal_id}" May(TerminalWrite);
    GET "/admin/terminals/{terminal_id}/qr.svg" May(TerminalRead);
    GET "/admin/terminals/{terminal_id}/qr.png" May(TerminalRead);
    GET "/admin/devices" May(DeviceRead);
    POST "/admin/devices" May(DeviceWrite);
    GET "/admin/devices/{device_id}" May(DeviceRead);
    PATCH "/admin/devices/{device_id}" May(DeviceWrite);
    POST "/admin/devices/{device_id}/activation-code" May(DeviceWrite);
    POST "/admin/devices/{device_id}/mqtt-credential" May(DeviceWrite);
    POST "/admin/devices/{device_id}/bootstrap" May(DeviceWrite);
    POST "/admin/devices/{device_id}/bind" May(DeviceWrite);
    POST "/admin/devices/{device_id}/unbind" May(DeviceWrite);
    GET "/admin/devices/{device_id}/notifications" May(DeviceRead);
    GET "/admin/devices/{device_id}/events" May(DeviceRead);
    GET "/admin/devices/{device_id}/heartbeats" May(DeviceRead);
    GET "/admin/devices/{device_id}/credentials" May(DeviceRead);
    POST "/admin/devices/{device_id}/credentials/revoke" May(DeviceWrite);
    GET "/admin/certificates/expiry" May(DeviceRead);
    GET "/pki/crl" Anyone;
    GET "/admin/devices/{device_id}/commands" May(CommandRead);
    POST "/admin/devices/{device_id}/commands" May(CommandWrite);
    GET "/admin/devices/{device_id}/commands/{command_id}" May(CommandRead);
    POST "/admin/devices/{device_id}/commands/{command_id}/cancel" May(CommandWrite);
    POST "/admin/devices/import" May(DeviceWrite);
    GET "/admin/devices/export.csv" May(DeviceRead);
    GET "/admin/devices/{device_id}/config" May(DeviceRead);
    PATCH "/admin/devices/{device_id}/config" May(DeviceWrite);
    GET "/admin/devices/{device_id}/config/status" May(DeviceRead);
    POST "/admin/devices/{device_id}/config/retry-push" May(DeviceWrite);
    GET "/admin/config/fleet" May(DeviceRead);
    PATCH "/admin/config/fleet" May(DeviceWrite);
    GET "/admin/config/drift" May(DeviceRead);
    GET "/admin/config/drift.csv" May(DeviceRead);
    GET "/admin/merchants/{merchant_id}/config" May(DeviceRead);
    PATCH "/admin/merchants/{merchant_id}/config" May(DeviceWrite);
    GET "/admin/outlets/{outlet_id}/config" May(DeviceRead);
    PATCH "/admin/outlets/{outlet_id}/config" May(DeviceWrite);
    GET "/admin/bulk-commands" May(CommandRead);
    POST "/admin/bulk-commands" May(CommandWrite);
    GET "/admin/bulk-commands.csv" May(CommandRead);
    GET "/admin/bulk-commands/{bulk_command_id}" May(CommandRead);
    GET "/admin/bulk-commands/{bulk_command_id}/devices" May(CommandRead);
    GET "/admin/bulk-commands/{bulk_command_id}/devices.csv" May(CommandRead);
    POST "/admin/bulk-commands/{bulk_command_id}/pause" May(CommandWrite);
    POST "/admin/bulk-commands/{bulk_command_id}/resume" May(CommandWrite);
    POST "/admin/bulk-commands/{bulk_command_id}/cancel" May(CommandWrite);
    GET "/admin/firmware" May(FirmwareRead);
    POST "/admin/firmware" May(FirmwareWrite);
    GET "/admin/firmware.csv" May(FirmwareRead);
    GET "/admin/firmware/{firmware_id}" May(FirmwareRead);
    GET "/admin/firmware/{firmware_id}/rollouts" May(FirmwareRead);
    POST "/admin/firmware/{firmware_id}/rollouts" May(FirmwareWrite);
    GET "/admin/devices/summary" May(DeviceRead);
    GET "/admin/alerts" May(DeviceRead);
    GET "/admin/alerts.csv" May(DeviceRead);
    POST "/admin/alerts/{alert_id}/acknowledge" May(DeviceWrite);
    GET "/admin/stats" May(DeviceRead);
    GET "/admin/nodes" May(DeviceRead);
    GET "/admin/transactions" May(TransactionRead);
    GET "/admin/transactions.csv" May(TransactionRead);
    GET "/admin/transactions/{transaction_id}" May(TransactionRead);
    GET "/admin/transactions/{transaction_id}/events" May(TransactionRead);
    POST "/admin/transactions/{transaction_id}/retry-notification" May(TransactionWrite);
    POST "/admin/transactions/{transaction_id}/refund" May(TransactionWrite);
    POST "/admin/transactions/{transaction_id}/cancel" May(TransactionWrite);
    POST "/device/provision/activate" Anyone;
    POST "/speaker/dev-config" Anyone;
    POST "/device/provision/refresh-credential" Box;
    POST "/device/heartbeat" Box;
    GET "/device/config" Box;
    POST "/device/config/ack" Box;
    POST "/device/commands/ack" Box;
    POST "/device/notifications/ack" Box;
    POST "/device/transactions/dynamic-qr" Box;
    GET "/admin/settlements" May(SettlementRead);
    GET "/admin/settlements.csv" May(SettlementRead);
    POST "/admin/settlements/run" May(SettlementWrite);
    GET "/admin/settlements/{settlement_id}" May(SettlementRead);
    POST "/admin/settlements/{settlement_id}/retry-payout" May(SettlementWrite);
    GET "/admin/payouts" May(SettlementRead);
    GET "/admin/payouts.csv" May(SettlementRead);
    POST "/admin/settlements/{settlement_id}/mark-paid" May(SettlementWrite);
    POST "/admin/settlements/{settlement_id}/mark-returned" May(SettlementWrite);
    POST "/integrations/bank/payout-callback" Partner;
    GET "/admin/fee-profiles" May(FeeRead);
    POST "/admin/fee-profiles" May(FeeWrite);
    GET "/admin/fee-profiles/{fee_profile_id}" May(FeeRead);
    POST "/admin/fee-profiles/{fee_profile_id}/versions" May(FeeWrite);
    GET "/admin/approvals" May(ApprovalRead);
    GET "/admin/approvals.csv" May(ApprovalRead);
    GET "/admin/approvals/{approval_id}" May(ApprovalRead);
    POST "/admin/approvals/{approval_id}/approve" May(ApprovalWrite);
    POST "/admin/approvals/{approval_id}/reject" May(ApprovalWrite);
    GET "/admin/reconciliations" May(LedgerRead);
    GET "/admin/reconciliations.csv" May(LedgerRead);
    POST "/admin/reconciliations" May(LedgerWrite);
    GET "/admin/reconciliations/{reconciliation_id}" May(LedgerRead);
    GET "/admin/reconciliations/{reconciliation_id}/lines" May(LedgerRead);
    GET "/admin/reconciliations/{reconciliation_id}/lines.csv" May(LedgerRead);
    GET "/admin/ledger-entries" May(LedgerRead);
    GET "/admin/ledger-entries.csv" May(LedgerRead);
    GET "/admin/ledger/trial-balance" May(LedgerRead);
    GET "/admin/settlements/{settlement_id}/statement.csv" May(SettlementRead);
    GET "/admin/settlements/{settlement_id}/statement.html" May(SettlementRead);
    GET "/merchant/settlements/{settlement_id}/statement.csv" May(PortalRead);
    GET "/merchant/settlements/{settlement_id}/statement.html" May(PortalRead);
    GET "/merchant/settlements" May(PortalRead);
    GET "/merchant/settlements.csv" May(PortalRead);
    GET "/merchant/settlements/{settlement_id}" May(PortalRead);
    GET "/merchant/me" May(PortalRead);
    GET "/merchant/dashboard/summary" May(PortalRead);
    GET "/merchant/transactions" May(PortalRead);
    GET "/merchant/transactions.csv" May(PortalRead);
    GET "/merchant/transactions/{transaction_id}" May(PortalRead);
    GET "/merchant/devices" May(PortalRead);
    GET "/merchant/devices/{device_id}/notifications" May(PortalRead);
    GET "/merchant/outlets" May(PortalRead);
    POST "/integrations/qris/callback" Partner;
    POST "/integrations/qris/callback/{partner_id}" Partner;
    POST "/v1.0/access-token/b2b" SnapPartner;
    POST "/v1.0/qr/qr-mpm-notify" SnapPartner;
    GET "/admin/incidents" May(IncidentRead);
    GET "/admin/incidents.csv" May(IncidentRead);
    GET "/admin/incidents/{incident_id}" May(IncidentRead);
    POST "/admin/incidents/{incident_id}/resolve" May(IncidentWrite);
    GET "/admin/callbacks" May(IncidentRead);
    GET "/admin/callbacks.csv" May(IncidentRead);
    GET "/admin/callbacks/{callback_id}" May(IncidentRead);
    GET "/admin/partners" May(IncidentRead);
    GET "/admin/partners.csv" May(IncidentRead);
    GET "/admin/partners/{partner_id}" May(IncidentRead);
    GET "/admin/unmatched-payments" May(IncidentRead);
    GET "/admin/unmatched-payments.csv" May(IncidentRead);
    POST "/admin/unmatched-payments/{unmatched_payment_id}/assign" May(TransactionWrite);
};
