-- quanyu_dead_letters: a role for the few who may see refused records as they came (`quanyu rejected show --raw`) and
-- send them again (`quanyu rejected redrive`). Reading leaves a row in rejected_shown, which it can add but not change.
-- 拒收记录角色：可查看原文并重发；每次查看原文都会留下记录，本角色不能修改该记录。
CREATE ROLE IF NOT EXISTS quanyu_dead_letters;

GRANT SELECT ON {database}.rejected TO quanyu_dead_letters;

GRANT SELECT, INSERT ON {database}.redrives TO quanyu_dead_letters;

GRANT INSERT ON {database}.rejected_shown TO quanyu_dead_letters;

GRANT SELECT ON {database}.signals TO quanyu_dead_letters;

GRANT SELECT ON {database}.migrations TO quanyu_dead_letters;

GRANT SELECT ON {database}.runs TO quanyu_dead_letters;

GRANT SELECT ON {database}.v_* TO quanyu_dead_letters;

-- To a person, by name: GRANT quanyu_dead_letters TO li; and, for the dead letters of a run,
-- GRANT SELECT ON run_NAME.rejected TO quanyu_dead_letters;
