CREATE TABLE merchants (
    id                            uuid PRIMARY KEY,
    merchant_code                 text NOT NULL CONSTRAINT merchants_code_unique UNIQUE
                                  CONSTRAINT merchants_code_form CHECK (merchant_code ~ '^m_[0-9a-z]{6,10}$'),
    legal_name                    text NOT NULL,
    brand_name                    text NOT NULL,
    status                        text NOT NULL CONSTRAINT merchants_status_known
                                  CHECK (status IN ('pending_review', 'approved', 'rejected', 'suspended')),
    status_reason                 text,
    payout_mode                   text NOT NULL CONSTRAINT merchants_payout_mode_known
                                  CHECK (payout_mode IN ('merchant_direct', 'manual')),
    settlement_account_reference  text,
    settlement_account_type       text,
    payout_account_reference      text,
    fee_profile_id                text NOT NULL CONSTRAINT merchants_fee_profile REFERENCES fee_profiles (id),
    nmid                          text CONSTRAINT merchants_nmid_unique UNIQUE,
    merchant_pan                  text CONSTRAINT merchants_pan_unique UNIQUE,
    -- The QR partner with which this merchant is registered: only its messages may name this merchant's NMID.
    qris_partner_id               text,
    merchant_criteria             text NOT NULL CONSTRAINT merchants_criteria_known
                                  CHECK (merchant_criteria IN ('UMI', 'UKE', 'UME', 'UBE', 'URE')),
    mcc                           text NOT NULL,
    city                          text NOT NULL,
    postal_code                   text,
    contact                       jsonb,
    created_at                    timestamptz NOT NULL,
    updated_at                    timestamptz NOT NULL
);
CREATE INDEX merchants_newest ON merchants (created_at DESC, id DESC);

-- Numbers from which the local QR partner issues NMIDs and merchant PANs.
CREATE SEQUENCE merchant_registration_numbers START 1;
