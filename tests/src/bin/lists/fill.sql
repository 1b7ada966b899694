-- A year's worth of a large operator, made in the database itself: the sizes are settings of this connection.
-- One merchant, the first, has a tenth of all payments and boxes: the skew that plans go wrong on.

CREATE FUNCTION pg_temp.size(name text) RETURNS int LANGUAGE sql STABLE AS
    $$ SELECT current_setting('fill.' || name)::int $$;
-- The same thing has the same id in every table.
CREATE FUNCTION pg_temp.id(noun text, number int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT md5(noun || number)::uuid $$;
-- The merchant of the n-th thing: every tenth is the first's.
CREATE FUNCTION pg_temp.owner(number int) RETURNS int LANGUAGE sql STABLE AS
    $$ SELECT CASE WHEN number % 10 = 0 THEN 1 ELSE 1 + number % pg_temp.size('merchants') END $$;
-- Spread evenly over the past days, the highest number last.
CREATE FUNCTION pg_temp.moment(number int, of int, days int) RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT now() - make_interval(secs => 60 + days * 86400.0 * (of - number) / of) $$;

INSERT INTO merchants (id, merchant_code, legal_name, brand_name, status, payout_mode, fee_profile_id, nmid, merchant_pan,
                       qris_partner_id, merchant_criteria, mcc, city, created_at, updated_at)
SELECT pg_temp.id('merchant', n), 'm_' || lpad(to_hex(n), 8, '0'), 'PT Toko ' || n, 'Toko ' || n,
       CASE n % 20 WHEN 7 THEN 'pending_review' WHEN 8 THEN 'suspended' ELSE 'approved' END, 'manual', 'fee_basic',
       'ID' || (9000000000000 + n), '936009' || lpad(n::text, 12, '0'), 'demo-acquirer', 'UMI', '5812', 'JAKARTA',
       pg_temp.moment(n, pg_temp.size('merchants'), 300), now()
FROM generate_series(1, pg_temp.size('merchants')) n;

INSERT INTO outlets (id, merchant_id, name, city, timezone, created_at, updated_at)
SELECT pg_temp.id('outlet', n), pg_temp.id('merchant', pg_temp.owner(n)), 'Cabang ' || n, 'JAKARTA', 'Asia/Jakarta',
       pg_temp.moment(n, pg_temp.size('terminals'), 300), now()
FROM generate_series(1, pg_temp.size('terminals')) n;

INSERT INTO terminals (id, merchant_id, outlet_id, name, terminal_label, qr_mode, created_at, updated_at)
SELECT pg_temp.id('terminal', n), pg_temp.id('merchant', pg_temp.owner(n)), pg_temp.id('outlet', n), 'Kasir ' || n,
       'T' || n, 'both', pg_temp.moment(n, pg_temp.size('terminals'), 300), now()
FROM generate_series(1, pg_temp.size('terminals')) n;

INSERT INTO devices (id, serial_number, model, capabilities, communication_mode, status, payload_encoding,
                     created_at, updated_at, activated_at)
SELECT pg_temp.id('device', n), 'FILL-' || n, 'SB-' || n % 4, '{speaker,display,dynamic_qr}',
       CASE WHEN n % 50 = 0 THEN 'http' ELSE 'mqtt' END,
       CASE n % 100 WHEN 3 THEN 'suspended' WHEN 4 THEN 'registered' ELSE 'active' END, 'json',
       pg_temp.moment(n, pg_temp.size('devices'), 300), now(), now()
FROM generate_series(1, pg_temp.size('devices')) n;

INSERT INTO device_presence (device_id, online, last_seen_at, firmware_version, state, battery_level, network_strength)
SELECT pg_temp.id('device', n), n % 20 <> 0, now(), '1.0.' || n % 5, 'idle', n % 101, n % 101
FROM generate_series(1, pg_temp.size('devices')) n;

INSERT INTO bindings (id, device_id, terminal_id, outlet_id, merchant_id, bound_at)
SELECT pg_temp.id('binding', n), pg_temp.id('device', n), pg_temp.id('terminal', t), pg_temp.id('outlet', t),
       pg_temp.id('merchant', pg_temp.owner(t)), now()
FROM generate_series(1, pg_temp.size('devices')) n, LATERAL (SELECT 1 + n % pg_temp.size('terminals') AS t) place;

INSERT INTO device_configs (device_id, version, config, binding_id, updated_at, applied_version, reported_version, reported,
                            acked_at, next_attempt_at)
SELECT pg_temp.id('device', n), 1, '{}', pg_temp.id('binding', n), now(), 1, 1, '{}', now(), now()
FROM generate_series(1, pg_temp.size('devices')) n;

INSERT INTO device_credentials (certificate_serial, device_id, public_key_sha256, certificate_pem, not_after, created_at,
                                first_used_at)
SELECT md5('serial' || n), pg_temp.id('device', n), md5('key' || n), '', now() + make_interval(days => n % 365), now(), now()
FROM generate_series(1, pg_temp.size('devices')) n;

INSERT INTO transactions (id, merchant_id, outlet_id, terminal_id, device_id, qr_type, amount, currency, status, partner_id,
                          created_at, expires_at)
SELECT pg_temp.id('transaction', n), pg_temp.id('merchant', pg_temp.owner(t)), pg_temp.id('outlet', t),
       pg_temp.id('terminal', t), NULL, 'dynamic', 1000 + n % 100000, 'IDR', status, 'demo-acquirer',
       made, made + interval '5 minutes'
FROM generate_series(1, pg_temp.size('transactions')) n,
     LATERAL (SELECT 1 + n % pg_temp.size('terminals') AS t,
                     pg_temp.moment(n, pg_temp.size('transactions'), 90) AS made,
                     CASE n % 20 WHEN 3 THEN 'expired' WHEN 4 THEN 'failed' WHEN 5 THEN 'reversed' ELSE 'paid' END AS status) s;

INSERT INTO payments (transaction_id, merchant_id, outlet_id, reversed_at, refunded, amount, fee, net, paid_at, accepted_at, fee_version, late,
                      fee_profile_id, partner_id, partner_reference)
SELECT t.id, t.merchant_id, t.outlet_id, CASE t.status WHEN 'reversed' THEN now() END,
       CASE t.status WHEN 'reversed' THEN t.amount ELSE 0 END, t.amount, 0, t.amount, t.created_at,
       t.created_at, 1, false, 'fee_basic', t.partner_id, 'FILL' || n
FROM generate_series(1, pg_temp.size('transactions')) n
JOIN transactions t ON t.id = pg_temp.id('transaction', n) AND t.status IN ('paid', 'reversed');

INSERT INTO settlements (id, merchant_id, status, payout_mode, cutoff, gross, fee, refunds, net, transaction_count,
                         created_by, created_at, updated_at)
SELECT pg_temp.id('settlement', n), pg_temp.id('merchant', pg_temp.owner(n)), 'pending', 'manual', now(), 1000, 0, 0, 1000, 1,
       'fill', pg_temp.moment(n, pg_temp.size('transactions') / 10, 90), now()
FROM generate_series(1, pg_temp.size('transactions') / 10) n;

-- One box with a long life: every list of a single box is as long as it can get.
INSERT INTO notifications (event_id, device_id, sequence, binding_id, transaction_id, merchant_name, amount, paid_at, replay,
                           status, created_at, next_attempt_at, delayed_after, announce_until, played_at)
SELECT pg_temp.id('event', n), pg_temp.id('device', 9), n, pg_temp.id('binding', 9), pg_temp.id('transaction', n), 'Toko', 1000,
       made, false, 'played', made, made, made, made, made
FROM generate_series(1, pg_temp.size('transactions') / 5) n,
     LATERAL (SELECT pg_temp.moment(n, pg_temp.size('transactions') / 5, 90) AS made) s;

INSERT INTO commands (id, device_id, type, payload, status, created_by, created_at, expires_at, next_attempt_at, ended_at)
SELECT pg_temp.id('command', n), pg_temp.id('device', 1 + n % 10), 'play_test', '{}', 'delivered', 'fill', made, made, made, made
FROM generate_series(1, pg_temp.size('transactions') / 10) n,
     LATERAL (SELECT pg_temp.moment(n, pg_temp.size('transactions') / 10, 90) AS made) s;

SELECT ensure_daily_partitions('heartbeats', (now() - interval '8 days')::date, 10);
INSERT INTO heartbeats (device_id, received_at, firmware_version, state, network_strength, battery_level)
SELECT pg_temp.id('device', 1 + n % 100), pg_temp.moment(n, pg_temp.size('transactions'), 7), '1.0.3', 'idle', 70, 80
FROM generate_series(1, pg_temp.size('transactions')) n;

INSERT INTO audit_logs (at, actor, action, entity)
SELECT pg_temp.moment(n, pg_temp.size('transactions') / 5, 90), 'fill', 'device.change', 'dev_' || n % 1000
FROM generate_series(1, pg_temp.size('transactions') / 5) n;

INSERT INTO users (id, email, password_hash, role, merchant_id, status, created_at, updated_at, access_changed_at)
SELECT pg_temp.id('user', n), 'owner' || n || '@fill.example', '$argon2id$none', 'merchant_owner', pg_temp.id('merchant', n),
       'active', pg_temp.moment(n, pg_temp.size('merchants'), 300), now(), now()
FROM generate_series(1, pg_temp.size('merchants')) n;

INSERT INTO tokens (id, token_hash, name, role, merchant_id, created_at, expires_at, user_id)
SELECT pg_temp.id('token', n), sha256(('token' || n)::bytea), 'login', 'merchant_owner', pg_temp.id('merchant', m),
       pg_temp.moment(n, pg_temp.size('devices'), 300), now(), pg_temp.id('user', m)
FROM generate_series(1, pg_temp.size('devices')) n, LATERAL (SELECT 1 + n % pg_temp.size('merchants') AS m) s;
