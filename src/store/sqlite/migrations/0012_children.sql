-- Which nodes a collection holds (XEP-0248); found from both ends.
CREATE TABLE children (
    parent INTEGER NOT NULL,
    child  INTEGER NOT NULL,
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX children_by_child ON children (child, parent);
