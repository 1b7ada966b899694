//! The words of users and tokens.

use domain::role::Role;

use super::Language;
use super::page::page_words;

page_words! {
    /// People and programs.
    UserWords {
        title "Users" "Pengguna"
        none "No users. Make the first one below." "Belum ada pengguna. Buat yang pertama di bawah."
        none_to_see "No users." "Belum ada pengguna."
        email "Email" "Email"
        role "Role" "Peran"
        made "Made" "Dibuat"
        since "Access since" "Akses sejak"
        active "active" "aktif"
        disabled "disabled" "nonaktif"
        new "New user" "Pengguna baru"
        new_hint "A merchant's users need the id of their merchant." "Pengguna merchant perlu id merchantnya."
        merchant_id "Merchant (id)" "Merchant (id)"
        create "Create" "Buat"
        change_role "Change role" "Ganti peran"
        disable "Disable" "Nonaktifkan"
        disable_hint "Ends the sessions at once." "Sesinya langsung berakhir."
        enable "Enable" "Aktifkan"
        reset "Reset password" "Reset kata sandi"
        reset_hint "The password ends, with all sessions; a code for setting another is shown once." "Kata sandi dan semua sesi berakhir; kode untuk membuat yang baru ditampilkan sekali."
        secret "Secret" "Rahasia"
        password "First password" "Kata sandi pertama"
        setup_code "Code for setting a password" "Kode untuk membuat kata sandi"
        half "This is one half of the code. Who confirms gets the other; the user needs both." "Ini separuh kode. Yang menyetujui mendapat separuh lainnya; pengguna perlu keduanya."
        set_at "It is used at" "Dipakai di"
        tokens "Tokens" "Token"
        tokens_none "No tokens. Make one for a program below." "Belum ada token. Buat untuk program di bawah."
        tokens_none_to_see "No tokens." "Belum ada token."
        token "Token" "Token"
        token_name "Name" "Nama"
        new_token "New token for a program" "Token baru untuk program"
        days "Good for (days)" "Berlaku (hari)"
        expires "Good until" "Berlaku sampai"
        first_used "First used" "Pertama dipakai"
        revoke "Revoke" "Cabut"
        live "live" "berlaku"
        revoked "revoked" "dicabut"
        expired "expired" "habis masa"
        of_login "login" "login"
        own_account "This is your own account." "Ini akun Anda sendiri."
        set_password "Set a password" "Buat kata sandi"
        code "Code" "Kode"
        second_code "Second half, if you got two" "Separuh kedua, jika ada dua"
        code_wrong "Email or code is wrong, or the code is too old." "Email atau kode salah, atau kode sudah terlalu lama."
        new_password "New password (at least 12 characters)" "Kata sandi baru (minimal 12 karakter)"
        password_set "The password is set. Log in with it." "Kata sandi sudah dibuat. Silakan masuk."
        have_code "I have a code" "Saya punya kode"
        admin "administrator" "administrator"
        ops "operations" "operasi"
        finance "finance" "keuangan"
        support "support" "dukungan"
        merchant_owner "merchant's owner" "pemilik merchant"
        merchant_cashier "merchant's cashier" "kasir merchant"
    }
}

impl UserWords {
    pub(crate) const fn role(&self, role: Role) -> &'static str {
        match role {
            Role::Admin => self.admin,
            Role::Ops => self.ops,
            Role::Finance => self.finance,
            Role::Support => self.support,
            Role::MerchantOwner => self.merchant_owner,
            Role::MerchantCashier => self.merchant_cashier,
        }
    }
}
