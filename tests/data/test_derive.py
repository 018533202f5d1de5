from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from data.derive import (
    blank_to_none,
    contact_completeness,
    contact_facts,
    email_domain_kind,
    person_key,
    seniority,
)

TITLES = {
    "c_level": """CEO|C.E.O.|CFO & Co-Founder|Chief Technology Officer|Chief Executive|Managing Director|President|Owner
        |Founder|co founder|Vice Chairman|General Manager|Managing Partner
        |总经理|董事长|总裁|首席技术官|创始人|联合创始人|合伙人|老板|董事""",
    "vp": """VP Ops|SVP|EVP Sales|Vice President|vice-president, Marketing|Deputy General Manager
        |副总裁|副总经理|集团副总|高级副总裁""",
    "director": """Sales Director|Head of Purchasing|Chief of Staff|Chief Engineer|AVP|Executive Director
        |采购总监|副总监|总工程师
        |区域总经理|市场部部长|厂长""",
    "manager": """Account Manager|IT Mgr.|Team Lead|Shift Supervisor|Assistant Director
        |技术经理|采购主管|办公室主任|总经理办公室主任
        |CEO办公室主任|项目负责人""",
    "staff": """Engineer|Assistant to the CEO|Executive Assistant
        |总经理助理|董事长秘书|Product Owner|Lead Generation Specialist
        |Internal Auditor|采购专员|工程师|Assistant Manager|Nurse""",
    "junior": "Intern|Marketing Intern|Trainee|Working Student|Junior Buyer|实习生|管培生|Graduate Engineer",
}


@pytest.mark.parametrize(
    ("title", "rank"), [(title.strip(), rank) for rank, titles in TITLES.items() for title in titles.split("|")]
)
def test_a_title_states_its_rank(title: str, rank: str) -> None:
    assert seniority(title) == rank
    assert seniority(f"  {title.upper()}\u3000") == rank


@pytest.mark.parametrize("title", [None, "", " \u3000", "n/a", "-", "无", "12345", "Директор", "Geschäftsführer"])
def test_a_blank_title_or_one_in_another_language_has_no_rank(title: str | None) -> None:
    assert seniority(title) is None


@pytest.mark.parametrize(
    ("email", "kind"),
    [
        ("a@qq.com", "free"), ("a@163.com", "free"), ("A@GMAIL.com ", "free"), ("a@vip.sina.com", "free"),
        ("a@acme.example", "corporate"), ("a@myqq.com", "corporate"), ("a@公司.cn", "corporate"),
        ("a@education.com", "corporate"), ("a@mit.edu", "education"), ("a@cs.pku.edu.cn", "education"),
        ("a@ox.ac.uk", "education"), ("a@nasa.gov", "government"), ("a@mof.gov.cn", "government"),
        ("a@city.go.jp", "government"), ("a@mailinator.com", "disposable"), ("a@x.mailinator.com", "disposable"),
        ("nobody", "invalid"), ("a@b", "invalid"), ("a@@b.com", "invalid"), ("a@-b.com", "invalid"),
        ("a b@c.com", "invalid"), ("x" * 300 + "@acme.example", "invalid"), ("", None), (None, None), ("N/A", None),
    ],
)  # fmt: skip
def test_an_address_belongs_to_a_kind_of_house(email: str | None, kind: str | None) -> None:
    assert email_domain_kind(email) == kind


def test_completeness_is_the_share_of_usable_parts() -> None:
    assert contact_completeness(None, None, None) == 0
    assert contact_completeness("Li", "nobody", "12") == pytest.approx(1 / 3)
    assert contact_completeness("Li", "li@acme.example", "0000000") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "phone",
    [
        "+86 138 0013 8000",
        "0086-138-0013-8000",
        "13800138000",
        "(+86) 13800138000",
        "１３８００１３８０００",
        "13800138000 转 12",
    ],
)
def test_one_phone_number_in_many_forms_is_one_person(phone: str) -> None:
    assert person_key(None, None, phone) == person_key("X", None, "+8613800138000")


def test_the_email_decides_over_the_phone_and_is_compared_without_case_and_tag() -> None:
    assert person_key("a", "A.B+x@Acme.example", "1") == person_key("b", "a.b@acme.example", "13800138000")
    assert person_key("a", "a@acme.example", "13800138000") != person_key("a", "b@acme.example", "13800138000")
    assert person_key("a", "nobody", "13800138000") == person_key("a", None, "13800138000")


@given(st.text(), st.text(), st.text())
def test_any_text_is_answered_and_never_shown(name: str, email: str, phone: str) -> None:
    facts = contact_facts(name, email, phone)
    assert 0 <= facts.contact_completeness <= 1
    assert facts.person_id is None or (len(facts.person_id) == 16 and int(facts.person_id, 16) >= 0)
    assert seniority(name) in {None, "c_level", "vp", "director", "manager", "staff", "junior"}
    assert blank_to_none(blank_to_none(name)) == blank_to_none(name)
