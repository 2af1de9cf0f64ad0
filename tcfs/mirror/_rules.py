"""The table of secrets that can be told by how they begin, with examples beside each.

No rule is anchored at its end, and none asks for the whole length where less is telling: what
tools cut short goes too. A rule begins at one of its `starts`, found by a plain search, which is
what makes a table of this size affordable. The examples are put together from pieces, so that no
scanner takes this file for a leak; none was ever valid.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from tcfs.mirror._chance import is_random, is_real, is_varied

_A: Final = "a1B2c3D4e5F6g7H8i9J0"  # letters and digits, 20 of them
_L: Final = "aQbWcEdRfTgYhUiIjOkP"  # letters
_U: Final = "A2B3C4D5E6F7G2H3J4K5"  # capitals and digits
_X: Final = "0a1b2c3d4e5f60718293"  # hexadecimal digits
_SCHEME: Final = ":" + "//"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one kind of secret looks. `pattern` is tried where one of `starts` was found.

    What its first group holds is the secret, or all of it where there is none; and
    only if `check` agrees.
    """

    name: str
    starts: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    examples: tuple[str, ...]
    others: tuple[str, ...]
    check: Callable[[bytes], bool] | None = None


def _rule(
    name: str,
    starts: str,
    pattern: str,
    examples: tuple[str, ...],
    others: tuple[str, ...],
    *,
    check: Callable[[bytes], bool] | None = None,
) -> Rule:
    return Rule(
        name=name,
        starts=tuple(it.encode() for it in starts.split()),
        pattern=re.compile(pattern.encode(), re.VERBOSE),
        examples=examples,
        others=others,
        check=check,
    )


def _prefix(
    name: str, starts: str, tail: str, examples: tuple[str, ...], others: tuple[str, ...]
) -> Rule:
    """Return the rule of tokens that are one of `starts` and then `tail`, where a word begins."""
    heads = "|".join(re.escape(it) for it in starts.split())
    # Three characters stand behind a `-` or `_` once in 8 MB of base64 as URLs have it.
    inside = "A-Za-z0-9_-" if min(map(len, starts.split())) <= 3 else "A-Za-z0-9"
    return _rule(name, starts, f"(?<![{inside}])(?:{heads}){tail}", examples, others)


# fmt: off
# Order matters where two rules find the same bytes: the first gives its name.
RULES: Final = (
    # Models and what is built around them
    _prefix("anthropic", "sk-ant-", r"[A-Za-z0-9_-]{20,}",
            ("sk-" + "ant-api03-" + _A * 4, "sk-" + "ant-oat01-" + _A), ("sk-ant-" + "key",)),
    _prefix("openrouter", "sk-or-v1-", r"[0-9a-f]{24,}",
            ("sk-" + "or-v1-" + _X * 3,), ("sk-or-v1-" + "something",)),
    _prefix("openai", "sk-proj- sk-admin- sk-svcacct- sk-None-", r"[A-Za-z0-9_-]{20,}",
            ("sk-" + "proj-" + _A * 3, "sk-" + "admin-" + _A + "-_" + _A), ("sk-proj-" + "abc",)),
    # Everybody who imitates that interface imitates this prefix; so do class names in CSS.
    _rule("sk-key", "sk-", r"(?<![A-Za-z0-9_-])sk-(?:[a-z]{2,8}-)?[A-Za-z0-9]{20,}[A-Za-z0-9_-]*",
          ("sk-" + _A * 2, "sk-" + _X * 2, "sk-" + "lf-" + _A),
          ("sk-toggleable__label-arrow", "task-" + _A, "sk-SK", "sk-containerelementwrapper"),
          check=is_varied),
    _prefix("google-api-key", "AIza", r"[A-Za-z0-9_-]{30,}",
            ("AI" + "za" + _A + "_-" + _A,), ("AIza" + "short", "xAI" + "za" + _A * 2)),
    _prefix("hugging-face", "hf_ api_org_", r"[A-Za-z0-9]{30,}",
            ("hf" + "_" + _L * 2, "api" + "_org_" + _L * 2), ("hf_hub_download", "hf_" + "abc")),
    _prefix("groq", "gsk_", r"[A-Za-z0-9]{32,}", ("gsk" + "_" + _A * 2,), ("gsk_" + "renderer",)),
    _prefix("xai", "xai-", r"[A-Za-z0-9]{40,}", ("xai" + "-" + _A * 4,), ("xai-" + "sdk",)),
    _prefix("perplexity", "pplx-", r"[A-Za-z0-9]{32,}",
            ("pplx" + "-" + _A * 2,), ("pplx-" + "7b-online",)),
    _prefix("replicate", "r8_", r"[A-Za-z0-9]{30,}", ("r8" + "_" + _A * 2,), ("r8_" + "unorm",)),
    _prefix("nvidia", "nvapi-", r"[A-Za-z0-9_-]{40,}",
            ("nvapi" + "-" + _A * 3,), ("nvapi-" + "docs",)),


    # Code and packages
    _prefix("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{20,}",
            ("ghp" + "_" + _A + _A, "ghs" + "_" + _A), ("ghp_" + "token", "xghp" + "_" + _A)),
    _prefix("github-fine-grained", "github_pat_", r"[A-Za-z0-9_]{22,}",
            ("github" + "_pat_" + _A + "00_" + _A * 2,), ("github_pat_" + "name",)),
    _prefix("gitlab", "glpat- gldt- glrt- glptt- glft- glimt- glsoat- glcbt- glagent- gloas-",
            r"[A-Za-z0-9_-]{12,}", ("gl" + "pat-" + _A, "gl" + "rt-" + _A), ("glpat-" + "x",)),
    _prefix("npm", "npm_", r"[A-Za-z0-9]{30,}",
            ("npm" + "_" + _A * 2,), ("npm_config_registry", "npm_" + "package")),
    _prefix("pypi", "pypi-", r"[A-Za-z0-9_-]{50,}",
            ("pypi" + "-AgEIcHlwaS5vcmc" + _A * 4,), ("pypi-" + "attestations",)),
    _prefix("rubygems", "rubygems_", r"[0-9a-f]{40,}",
            ("rubygems" + "_" + _X * 2 + "00",), ("rubygems_" + "version",)),
    _prefix("docker", "dckr_pat_ dckr_oat_", r"[A-Za-z0-9_-]{20,}",
            ("dckr" + "_pat_" + _A,), ("dckr_pat_" + "x",)),
    _prefix("artifactory", "AKCp", r"[A-Za-z0-9]{60,}", ("AKC" + "p" + _A * 4,), ("AKCp" + _A,)),
    _prefix("postman", "PMAK-", r"[0-9a-f]{24}-[0-9a-f]{20,}",
            ("PMAK" + "-" + _X + "abcd-" + _X * 2,), ("PMAK-" + "x",)),
    # Clouds
    # Those that documentation uses end in EXAMPLE.
    _rule("aws-key-id", "AKIA ASIA ABIA ACCA",
          r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}(?![A-Za-z0-9])",
          ("AK" + "IA" + "Q2W3E4R5T6Y7U2I3",), ("AKIAIOSFODNN7" + "EXAMPLE", "AKIA" + "SHORT")),
    # The other half, where the two stand together without a name: CSV, tables, messages.
    _rule("aws-secret", "AKIA ASIA",
          r"""(?<![A-Za-z0-9])(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}(?![A-Za-z0-9])
              [^\n]{1,80}?(?<![A-Za-z0-9/+])(?![0-9a-f]{40})([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])""",
          ("AK" + "IA" + "Q2W3E4R5T6Y7U2I3" + "," + _A + "/" + _A[1:],),
          ("AK" + "IA" + "Q2W3E4R5T6Y7U2I3" + " at commit " + _X * 2,), check=is_varied),
    _rule("azure-key", "AccountKey= SharedAccessKey=",
          r"(?:Account|SharedAccess)Key=([A-Za-z0-9/+]{20,}={0,2})",
          ("AccountKey" + "=" + _A * 4 + "==",), ("AccountKey" + "=<key>",)),
    _prefix("google-oauth", "ya29.", r"[A-Za-z0-9_-]{20,}",
            ("ya" + "29." + _A * 2,), ("ya29." + "x",)),
    _prefix("google-client", "GOCSPX-", r"[A-Za-z0-9_-]{20,}",
            ("GOC" + "SPX-" + _A + "k1L2m3N4",), ("GOCSPX-" + "x",)),
    _prefix("google-refresh", "1//0", r"[A-Za-z0-9_-]{40,}",
            ("1/" + "/0" + _A * 3,), ("1//0" + "x", "21/" + "/0" + _A * 3)),
    _prefix("digitalocean", "dop_v1_ doo_v1_ dor_v1_", r"[0-9a-f]{40,}",
            ("dop" + "_v1_" + _X * 3 + "0000",), ("dop_v1_" + "x",)),
    _prefix("alibaba", "LTAI", r"[A-Za-z0-9]{16,}(?![A-Za-z0-9])",
            ("LT" + "AI" + "5t" + _A,), ("LTAI" + "x",)),
    _prefix("databricks", "dapi", r"[0-9a-f]{32}", ("da" + "pi" + _X + "0123456789ab",), ("dapi",)),
    _prefix("tailscale", "tskey-", r"[a-z]{2,10}-[A-Za-z0-9]{8,}-?[A-Za-z0-9]{8,}",
            ("ts" + "key-auth-" + _A + "-" + _A,), ("tskey-" + "auth",)),
    _prefix("heroku", "HRKU-", r"(?:AA[A-Za-z0-9_-]{50,}|[0-9a-f]{8}-[0-9a-f-]{27})",
            ("HR" + "KU-AA" + _A * 3,), ("HRKU-" + "x",)),
    _prefix("supabase", "sbp_ sb_secret_", r"[A-Za-z0-9_-]{30,}",
            ("sb" + "p_" + _X * 2, "sb" + "_secret_" + _A * 2), ("sb_secret_" + "name",)),
    _prefix("planetscale", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[A-Za-z0-9_.=-]{32,}",
            ("pscale" + "_pw_" + _A * 2,), ("pscale_pw_" + "x",)),
    _rule("terraform", ".atlasv1.",
          r"(?<=[A-Za-z0-9]{14})\.atlasv1\.([A-Za-z0-9_=-]{40,})",
          (_A + ".atlas" + "v1." + _A * 3,), ("x.atlas" + "v1." + _A * 3,)),
    _prefix("vault", "hvs. hvb. hvr.", r"[A-Za-z0-9_-]{24,}",
            ("hv" + "s." + _A * 2,), ("hvs." + "x",)),
    _prefix("doppler", "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.",
            r"(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}", ("dp" + ".pt." + _A * 2,),
            ("dp.pt." + "x",)),
    # Money, mail and talk
    _prefix("stripe", "sk_live_ sk_test_ rk_live_ rk_test_", r"[A-Za-z0-9]{16,}",
            ("sk" + "_live_" + _A, "rk" + "_test_" + _A), ("sk_test_" + "key", "pk_live_" + _A)),
    _prefix("stripe-webhook", "whsec_", r"[A-Za-z0-9+/]{24,}=*",
            ("wh" + "sec_" + _A * 2,), ("whsec_" + "x",)),
    _prefix("square", "sq0atp- sq0csp- sq0idp-", r"[A-Za-z0-9_-]{20,}",
            ("sq" + "0atp-" + _A + "kl",), ("sq0atp-" + "x",)),
    _prefix("shopify", "shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{30,}",
            ("sh" + "pat_" + _X + "0123456789ab",), ("shpat_" + "x",)),
    _prefix("slack", "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxe. xapp-",
            r"[A-Za-z0-9.-]{20,}",
            ("xo" + "xb-123456789012-123456789012-" + _A, "xa" + "pp-1-A0B1C2D3E4-" + _A),
            ("xoxb-" + "token",)),
    _rule("slack-webhook", "hooks.slack.com/ hooks.slack-gov.com/",
          r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_+-]{20,})",
          ("hooks.slack" + ".com/services/T" + _U[:9] + "/B" + _U[:9] + "/" + _A,),
          ("https" + _SCHEME + "hooks.slack" + ".com/services/",)),
    _rule("discord-webhook", "/api/webhooks/",
          r"(?<=discord\.com)/api/webhooks/([0-9]{15,20}/[A-Za-z0-9_-]{40,})",
          ("https" + _SCHEME + "discord" + ".com/api/webhooks/123456789012345678/" + _A * 3,),
          ("https" + _SCHEME + "example.com/api/webhooks/1/x",)),
    _rule("telegram", ":AA", r"(?<=[0-9]{8}):(AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9])",
          ("123456789" + ":" + "AA" + _A + "k1L2m3N4o5P6q",), ("cafe:" + "AA" + _A * 2,)),
    _prefix("sendgrid", "SG.", r"[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}",
            ("SG" + "." + _A + "kl." + _A * 2,), ("SG." + "x.y", "MS" + "G." + _A + "." + _A)),
    _prefix("mailgun", "key-", r"[0-9a-f]{32}(?![0-9A-Za-z])",
            ("ke" + "y-" + _X + "0123456789ab",), ("key-" + "value",)),
    _prefix("twilio", "SK", r"[0-9a-f]{32}(?![0-9A-Za-z])",
            ("S" + "K" + _X + "0123456789ab",), ("SK" + "IP",)),
    # Work
    _prefix("atlassian", "ATATT3x ATCTT3x ATBB", r"[A-Za-z0-9_=-]{24,}",
            ("AT" + "ATT3x" + _A * 3,), ("ATBB" + "x",)),
    _prefix("linear", "lin_api_ lin_oauth_", r"[A-Za-z0-9]{32,}",
            ("lin" + "_api_" + _A * 2,), ("lin_api_" + "key",)),
    _prefix("notion", "ntn_ secret_", r"[A-Za-z0-9]{40,}",
            ("nt" + "n_" + _A * 2 + "abcdef",), ("secret_" + "name", "ntn_" + "x")),
    _prefix("figma", "figd_", r"[A-Za-z0-9_-]{36,}", ("fi" + "gd_" + _A * 2,), ("figd_" + "x",)),
    _prefix("new-relic", "NRAK-", r"[A-Z0-9]{24,}", ("NR" + "AK-" + _U * 2,), ("NRAK-" + "X",)),
    _prefix("sentry", "sntrys_ sntryu_", r"[A-Za-z0-9+/=_]{40,}",
            ("sn" + "trys_" + _A * 3,), ("sntrys_" + "x",)),
    _prefix("grafana", "glsa_ glc_", r"[A-Za-z0-9+/=_]{32,}",
            ("gl" + "sa_" + _A * 2 + "_" + _X[:8],), ("glsa_" + "x",)),
    _prefix("hubspot", "pat-na1- pat-na2- pat-eu1-", r"[0-9a-f]{8}-[0-9a-f-]{27}",
            ("pa" + "t-na1-01234567-89ab-4def-8123-456789abcdef",), ("pat-na1-" + "x",)),
    _prefix("1password", "ops_eyJ", r"[A-Za-z0-9_=-]{40,}",
            ("op" + "s_eyJ" + _A * 3,), ("ops_eyJ" + "x",)),
    _prefix("age", "AGE-SECRET-KEY-1", r"[A-Z0-9]{40,}",
            ("AGE" + "-SECRET-KEY-1" + _U * 3,), ("AGE-SECRET-KEY-1" + "...",)),
    # Formats
    _rule("jwt", "eyJ",
          r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{8,16384}\.[A-Za-z0-9_-]{16,}",
          ("ey" + "J" + _A + ".ey" + "J" + _A + "." + _A * 2,), ("eyJ" + _A, "eyJ" + _A + ".x.y")),
    _rule("authorization", "Bearer bearer Basic basic",
          r"(?<![A-Za-z0-9])(?:[Bb]earer|[Bb]asic)[ ]{1,4}([A-Za-z0-9._~+/-]{16,}={0,2})",
          ("Authorization: Bea" + "rer " + _A * 2, "authorization: ba" + "sic " + _A + "=="),
          ("Bearer authentication-required", "Basic understanding_of_things"), check=is_random),
    _rule("url-password", _SCHEME,
          r"""(?<=[A-Za-z0-9+.-])://[^\s/?\#@:"'`<>(){}\[\]\\|,]{0,100}:
              ([^\s/?\#@:"'`<>(){}\[\]\\|,]{3,256})@(?=[A-Za-z0-9\[$%{])""",
          ("postgres" + _SCHEME + "app:" + "hunter2horse" + "@db.internal:5432/prod",),
          ("http" + _SCHEME + "localhost:8080/@scope", "ssh" + _SCHEME + "git@github.com",
           "https" + _SCHEME + "user:password@example.org"), check=is_real),
)
# fmt: on
