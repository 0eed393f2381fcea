// Certificates for the tests: CAs, and keys that they vouch for.  Thread: the test's.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "fabric/tls.h"
#include "peer.h"

namespace faha::fabric_test {

// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "faha-tls-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

struct Certified {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;
};

// Valid from a day ago for `days` from now on.
inline Certified Certify(const std::string& name, int days, const Certified* ca) {
  static long serial = 1;
  Certified made{{X509_new(), X509_free}, {EVP_EC_gen("P-256"), EVP_PKEY_free}};
  X509* x = made.certificate.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
  X509_gmtime_adj(X509_getm_notBefore(x), days > 0 ? -86400 : 2 * 86400L * days);
  X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days);
  X509_set_pubkey(x, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(ca != nullptr ? ca->certificate.get() : x));
  X509_EXTENSION* constraints =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, ca != nullptr ? "CA:FALSE" : "critical,CA:TRUE");
  X509_add_ext(x, constraints, -1);
  X509_EXTENSION_free(constraints);
  EXPECT_GT(X509_sign(x, ca != nullptr ? ca->key.get() : made.key.get(), EVP_sha256()), 0);
  return made;
}

inline void WriteCertificate(const std::string& path, const Certified& made) {
  FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(PEM_write_X509(file, made.certificate.get()), 1);
  std::fclose(file);
}

inline void WriteKey(const std::string& path, const Certified& made, const std::string& pass = {}) {
  FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  const EVP_CIPHER* cipher = pass.empty() ? nullptr : EVP_aes_256_cbc();
  EXPECT_EQ(PEM_write_PKCS8PrivateKey(file, made.key.get(), cipher, pass.data(), static_cast<int>(pass.size()), nullptr,
                                      nullptr),
            1);
  std::fclose(file);
}

// The files of one node.
struct NodeFiles {
  Folder folder;
  TlsFiles files{folder / "node.crt", folder / "node.key", "", folder / "ca.crt", ""};

  void Write(const Certified& ca, const Certified& node) const {
    WriteCertificate(files.ca_file, ca);
    WriteCertificate(files.certificate, node);
    WriteKey(files.key, node);
  }
  [[nodiscard]] std::shared_ptr<Tls> Load(LogSink log = [](LogLevel, std::string_view) {}) const {
    auto tls = Tls::Load(files, std::move(log));
    EXPECT_TRUE(tls.ok()) << tls.status().ToString();
    return tls.ok() ? *tls : nullptr;
  }
};

inline const Certified& OurCa() {
  static const Certified ca = Certify("our CA", 10, nullptr);
  return ca;
}

// A node of `ca`.
inline std::shared_ptr<Tls> NodeOf(const Certified& ca, int days = 10) {
  NodeFiles files;
  files.Write(ca, Certify("node", days, &ca));
  return files.Load();
}

// A test whose peers all use TLS, or none of them.
class EitherWay : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { everyones_tls = GetParam() ? NodeOf(OurCa()) : nullptr; }
  void TearDown() override { everyones_tls = nullptr; }
};

#define FAHA_EITHER_WAY(suite)                             \
  class suite : public EitherWay {};                       \
  INSTANTIATE_TEST_SUITE_P(Over, suite, ::testing::Bool(), \
                           [](const auto& param) { return param.param ? "Tls" : "Tcp"; })

}  // namespace faha::fabric_test
